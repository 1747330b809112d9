"""The catalogue of encoders: complete, consistent with the code and the docs, and frozen."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from firstshot.encoders.specs import SPECS
from firstshot.encoders.weights.catalog import (
    ENCODERS,
    EncoderRecord,
    HandFile,
    HubFile,
    WebFile,
    find_record,
)
from firstshot.errors import ParameterError

DOCS = Path(__file__).resolve().parents[3] / "docs" / "encoders.md"
every_record = pytest.mark.parametrize("record", ENCODERS.values(), ids=list(ENCODERS))


def test_it_holds_every_encoder_that_has_a_spec() -> None:
    assert list(ENCODERS) == list(SPECS)
    assert all(record.spec is SPECS[name] for name, record in ENCODERS.items())


@every_record
def test_a_record_names_the_settings_that_its_spec_has(record: EncoderRecord) -> None:
    spec = record.spec
    assert spec.name == record.name
    of_spec = {field.name for field in fields(spec)}
    of_geometry = {field.name for field in fields(spec.geometry)}
    assert set(record.spec_settings) <= of_spec
    assert set(record.geometry_settings) <= of_geometry
    # What else a spec has is no user's business.
    named = {"name", "geometry", "mel", "default_layers", "max_distance"}
    assert of_spec - named == set(record.spec_settings)


@every_record
def test_a_record_says_how_to_come_by_the_weights_in_one_line(record: EncoderRecord) -> None:
    assert record.licence
    assert record.formats
    assert "\n" not in record.advice()
    assert record.advice().endswith("give it as weights=PATH")
    fetched = record.advice().startswith(f"run `firstshot encoders fetch {record.name}`")
    assert fetched == (not isinstance(record.file(), HandFile))
    assert f"firstshot encoders fetch {record.name} --from FILE" in record.advice()
    for file in record.files.values():
        if isinstance(file, HandFile):
            assert " by hand from " in file.get
            continue
        if isinstance(file, WebFile):
            assert file.url.startswith("https://github.com/")
            assert file.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", file.sha256)
            assert ("not pinned" in str(file)) == (file.sha256 is None)
            continue
        assert re.fullmatch(r"[\w-]+/[\w-]+", file.repo)
        assert file.file.endswith(".safetensors")
        assert file.revision is None or re.fullmatch(r"[0-9a-f]{40}", file.revision)
        assert file.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", file.sha256)
        assert ("not pinned" in str(file)) == (file.revision is None)


def test_a_pinned_file_is_as_large_as_its_parameters() -> None:
    file = ENCODERS["eat_large"].file()
    assert isinstance(file, HubFile)
    assert file.size is not None
    # Table of positions and tagging head included, 4 bytes a value, and a header of some 30 kB.
    head = 2 * 1024 + 527 * 1025
    values = SPECS["eat_large"].geometry.learned_parameters() + 6144 * 1024 + head
    assert 0 < file.size - 4 * values < 50_000


def test_only_weights_for_evaluation_have_terms_and_these_are_on_no_hub() -> None:
    assert [name for name, record in ENCODERS.items() if record.terms] == ["m2d_clap"]
    assert isinstance(ENCODERS["m2d_clap"].file(), HandFile)


def test_records_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        ENCODERS["eat"].licence = "none"  # type: ignore[misc]
    with pytest.raises(TypeError):
        ENCODERS["eat"].files["finetuned"] = HubFile("a/b")  # type: ignore[index]


def test_variants_are_found_by_name_the_default_first() -> None:
    eat = find_record("eat")
    assert eat.file() == eat.file("finetuned") != eat.file("pretrained")
    assert eat.is_default(None)
    assert eat.is_default("finetuned")
    assert not eat.is_default("pretrained")
    with pytest.raises(ParameterError, match=r"known: finetuned$"):
        find_record("ced_tiny").file("pretrained")
    with pytest.raises(ParameterError, match="no pre-trained encoder; choose one of beats_ft1"):
        find_record("logmel")


@every_record
def test_the_page_of_encoders_tells_of_every_name_file_and_setting(record: EncoderRecord) -> None:
    page = DOCS.read_text("utf-8")
    assert f"`{record.name}`" in page
    for file in record.files.values():
        if isinstance(file, HubFile) and record.spec.family != "ced":
            assert file.repo.partition("_")[0] in page
        if not isinstance(file, HubFile):
            assert file.get.partition(" ")[0].rpartition("/")[2] in page
    for setting in record.settings:
        assert f"| `{setting}` |" in page


def test_the_self_supervised_variants_of_beats_are_got_by_hand() -> None:
    beats = find_record("beats_ft1")
    assert beats.file("pretrained").get.startswith("BEATs_iter3.pt by hand")
    assert beats.file("pretrained_plus").get.startswith("BEATs_iter3_plus_AS2M.pt by hand")
    advice = beats.advice("pretrained")
    assert "run `firstshot encoders fetch beats_ft1 --variant pretrained --from FILE`" in advice


def test_a_record_can_be_made_for_another_spec() -> None:
    small = dataclasses.replace(ENCODERS["ced_tiny"], spec=SPECS["ced_mini"])
    assert small.spec.dim(1) == 256
    assert ENCODERS["ced_tiny"].spec.dim(1) == 192
