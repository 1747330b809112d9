"""Published weights files are read in full, strictly, without running them, and converted once."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import threading
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors import safe_open  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from tests.encoders import official_files as official  # noqa: E402

from firstshot.encoders import load_encoder  # noqa: E402
from firstshot.encoders.weights import files as checkpoint_files  # noqa: E402
from firstshot.encoders.weights.cache import read_pointer, weights_folder  # noqa: E402
from firstshot.encoders.weights.catalog import ENCODERS  # noqa: E402
from firstshot.encoders.weights.find import keep_file  # noqa: E402
from firstshot.encoders.weights.read import hash_tensors  # noqa: E402
from firstshot.errors import (  # noqa: E402
    FirstshotWarning,
    OutputError,
    ParameterError,
    WeightsError,
)

EVERY_FORMAT = [
    (name, form)
    for name in official.STORED
    for form in official.FORMATS[official.MINI[name].spec.family]
]
pytestmark = pytest.mark.filterwarnings("ignore:m2d_clap:firstshot.errors.FirstshotWarning")


@pytest.fixture(autouse=True)
def _mini(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    official.use_mini(monkeypatch, tmp_path / "cache")


def entries() -> list[Path]:
    return sorted(weights_folder().glob("*.safetensors"))


@pytest.mark.parametrize(("name", "form"), EVERY_FORMAT)
def test_every_published_format_gives_the_original_s_numbers(
    name: str, form: str, tmp_path: Path
) -> None:
    encoder = load_encoder(name, weights=official.write(name, tmp_path, form))
    clip, pooled = official.golden_pooled(name)
    assert encoder.name == name
    for found, stored in zip(encoder.embed([clip], layers=(1, 2)), pooled, strict=True):
        np.testing.assert_allclose(found[0], stored, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["eat", "ced_tiny", "m2d_clap"])
def test_equal_values_have_one_fingerprint_in_every_format(name: str, tmp_path: Path) -> None:
    files = [
        official.write(name, tmp_path, form)
        for form in official.FORMATS[official.MINI[name].spec.family]
    ]
    assert len({load_encoder(name, weights=file).fingerprint for file in files}) == 1
    again = {load_encoder(name, weights=file).fingerprint for file in files}
    assert again == {load_encoder(name, weights=str(files[0])).fingerprint}


def test_another_value_is_another_fingerprint(tmp_path: Path) -> None:
    tensors = official.ced_hub()
    usual = official.write_content(tensors, tmp_path / "a.safetensors")
    changed = {k: v.clone() for k, v in tensors.items()}
    changed["encoder.blocks.1.mlp.fc2.bias"][3] += 1e-6
    other = official.write_content(changed, tmp_path / "b.safetensors")
    headless = {k: v + 1.0 if k.startswith("outputlayer") else v for k, v in tensors.items()}
    alike = official.write_content(headless, tmp_path / "c.safetensors")
    one, two, three = (
        load_encoder("ced_tiny", weights=file).fingerprint for file in (usual, other, alike)
    )
    assert one != two
    assert one == three


def test_the_hash_is_of_names_shapes_and_values() -> None:
    import hashlib

    tensors = {"b": torch.tensor([1.0, 2.0]), "a": torch.tensor([[3.0]])}
    by_hand = hashlib.sha256(
        b'["a", [1, 1]]' + np.float32(3).tobytes() + b'["b", [2]]' + np.float32([1, 2]).tobytes()
    )
    assert hash_tensors(tensors) == by_hand.hexdigest()


# What a file must hold


def _fault(content: dict[str, Any], kind: str, name: str) -> None:
    if kind == "missing":
        del content[name]
    elif kind == "extra":
        content[name + "_more"] = torch.zeros(2)
    else:
        content[name] = torch.zeros((7, *content[name].shape))


VICTIM = {
    "beats": "encoder.layers.1.fc1.bias",
    "eat": "model.blocks.1.norm2.weight",
    "ced": "encoder.blocks.1.attn.qkv.weight",
    "efficientat": "features.5.block.2.conc_se_layers.0.fc1.bias",
    "m2d": "module.ar.runtime.backbone.blocks.0.mlp.fc1.weight",
}


@pytest.mark.parametrize(
    "name", ["beats_ft1", "eat", "sslam", "ced_tiny", "efficientat_mn04", "m2d_clap"]
)
@pytest.mark.parametrize("kind", ["missing", "extra", "misshapen"])
def test_a_missing_extra_or_misshapen_tensor_is_named_and_refused(
    name: str, kind: str, tmp_path: Path
) -> None:
    module = official.MINI[name].spec.family
    form, make = next(iter(official.FORMATS[module].items()))
    content = dict(make())
    tensors = content
    if "model" in content:
        tensors = content["model"] = dict(content["model"])
    _fault(tensors, kind, VICTIM[module])
    file = official.write_content(content, tmp_path / f"weights{Path(form).suffix}")
    with pytest.raises(WeightsError) as caught:
        load_encoder(name, weights=file)
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    assert f"{kind} 1 (" in message
    assert VICTIM[module].split(".", 2)[-1].rsplit(".", 1)[-1] in message
    assert "\n" not in message
    assert entries() == []


def test_the_file_of_another_encoder_is_refused(tmp_path: Path) -> None:
    file = official.write("eat", tmp_path)
    with pytest.raises(WeightsError, match=r"not those of ced_tiny: missing .* extra "):
        load_encoder("ced_tiny", weights=file)


def test_integers_are_no_weights(tmp_path: Path) -> None:
    tensors = official.ced_hub() | {"encoder.norm.bias": torch.zeros(32, dtype=torch.int64)}
    file = official.write_content(tensors, tmp_path / "integers.safetensors")
    with pytest.raises(WeightsError, match=r"norm.bias holds torch.int64"):
        load_encoder("ced_tiny", weights=file)


@pytest.mark.parametrize("name", list(ENCODERS))
def test_every_published_network_has_the_parameters_that_the_catalogue_counts(name: str) -> None:
    from firstshot.encoders.models import build
    from firstshot.encoders.specs import SPECS

    with torch.device("meta"):
        module = build(SPECS[name])
    counted = sum(values.numel() for values in module.parameters())
    assert counted == SPECS[name].geometry.learned_parameters()


@pytest.mark.parametrize("size", ["tiny", "mini", "small", "base"])
@pytest.mark.parametrize("source", ["hf", "zenodo"])
def test_the_published_lists_of_tensors_fit_the_real_networks(size: str, source: str) -> None:
    from firstshot.encoders.models import map_names
    from firstshot.encoders.specs import SPECS

    spec, other = SPECS[f"ced_{size}"], SPECS["ced_base" if size == "tiny" else "ced_tiny"]
    key = f"ced-{size}" if source == "hf" else f"ced_{size}"
    shapes = official._manifest(f"ced_manifest_{source}", key)
    tensors = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    assert len(map_names(spec, tensors)) == 7 + 1 + 1 + 12 * 12 + 1
    with pytest.raises(WeightsError, match="misshapen"):
        map_names(other, tensors)


def test_beats_takes_its_configuration_from_the_file(tmp_path: Path) -> None:
    content = official.FORMATS["beats"]["cpt1.pt"]()
    clip, _ = official.golden_pooled("beats_ft1")
    outputs = []
    for distance in (100, 60):
        cfg = content["cfg"] | {"max_distance": distance}
        file = official.write_content(content | {"cfg": cfg}, tmp_path / f"{distance}.pt")
        for _ in ("read", "converted"):
            encoder: Any = load_encoder("beats_ft1", weights=file)
            assert encoder.spec.max_distance == distance
            outputs.append(encoder.embed([clip])[0])
    np.testing.assert_array_equal(outputs[0], outputs[1])
    np.testing.assert_array_equal(outputs[2], outputs[3])
    assert np.abs(outputs[0] - outputs[2]).max() > 1e-4


@pytest.mark.parametrize("variant", ["pretrained", "pretrained_plus"])
def test_self_supervised_beats_has_no_head_and_serves_its_variant(
    variant: str, tmp_path: Path
) -> None:
    content = official.FORMATS["beats"]["cpt1.pt"]()
    cfg = {key: value for key, value in content["cfg"].items() if key != "predictor_class"}
    model = {k: v for k, v in content["model"].items() if not k.startswith("predictor.")}
    headless = {"cfg": cfg | {"finetuned_model": False}, "model": model}
    file = official.write_content(headless, tmp_path / "BEATs_iter3.pt")
    with pytest.raises(WeightsError, match=r"get BEATs_iter3\w*\.pt by hand.*--variant pretrained"):
        load_encoder("beats_ft1", variant=variant)
    keep_file(ENCODERS["beats_ft1"], file, variant)
    clip, pooled = official.golden_pooled("beats_ft1")
    found = load_encoder("beats_ft1", variant=variant).embed([clip], layers=(1, 2))
    for one, stored in zip(found, pooled, strict=True):
        np.testing.assert_allclose(one[0], stored, rtol=0, atol=1e-4)
    with pytest.raises(WeightsError, match="its weights are not on this machine"):
        load_encoder("beats_ft1")


@pytest.mark.parametrize(("key", "value"), [("layer_norm_first", True), ("deep_norm", False)])
def test_beats_variants_that_are_other_networks_are_refused(
    key: str, value: bool, tmp_path: Path
) -> None:
    content = official.FORMATS["beats"]["cpt1.pt"]()
    file = official.write_content(
        content | {"cfg": content["cfg"] | {key: value}}, tmp_path / "b.pt"
    )
    with pytest.raises(WeightsError, match=f"{key} {value}, expected {not value}"):
        load_encoder("beats_ft1", weights=file)


def test_beats_without_its_configuration_is_refused(tmp_path: Path) -> None:
    model = official.FORMATS["beats"]["cpt1.pt"]()["model"]
    file = official.write_content({"model": model}, tmp_path / "bare.pt")
    with pytest.raises(WeightsError, match="has no cfg"):
        load_encoder("beats_ft1", weights=file)


# What is no weights file


class _RunsCode:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (pathlib.Path.write_text, (self.path, "ran"))


def test_a_pickle_that_could_run_code_is_refused_and_not_run(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    file = official.write_content(
        {"model": official.ced_zenodo(), "x": _RunsCode(witness)}, tmp_path / "evil.pt"
    )
    with pytest.raises(WeightsError, match=r"never loaded; .*safetensors") as caught:
        load_encoder("ced_tiny", weights=file)
    assert not witness.exists()
    assert "\n" not in str(caught.value)


def test_what_training_scripts_leave_in_a_pickle_is_named(tmp_path: Path) -> None:
    content = official._fairseq("fairseq_finetuned_name") | {"args": official.NEEDS_MORE}
    file = official.write_content(content, tmp_path / "training.pt")
    with pytest.raises(WeightsError, match=r"more than tensors \(argparse.Namespace\)"):
        load_encoder("eat", weights=file)


def test_the_older_pickle_format_is_read(tmp_path: Path) -> None:
    file = tmp_path / "old.pt"
    torch.save(official.ced_zenodo(), file, _use_new_zipfile_serialization=False)
    new = official.write("ced_tiny", tmp_path)
    assert (
        load_encoder("ced_tiny", weights=file).fingerprint
        == load_encoder("ced_tiny", weights=new).fingerprint
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"\n<!DOCTYPE html><html>OneDrive</html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS pointer"),
        (b"RIFF$\x00\x00\x00WAVEfmt ", "neither safetensors nor a PyTorch file"),
    ],
)
def test_what_is_no_weights_file_is_named_for_what_it_is(
    content: bytes, reason: str, tmp_path: Path
) -> None:
    file = tmp_path / "model.pt"
    file.write_bytes(content)
    with pytest.raises(WeightsError, match=reason) as caught:
        load_encoder("beats_ft1", weights=file)
    assert "give it as weights=PATH" in str(caught.value)


@pytest.mark.parametrize("form", ["hub.safetensors", "zenodo.pt"])
@pytest.mark.parametrize("share", [0.3, 0.99])
def test_a_truncated_file_is_refused(form: str, share: float, tmp_path: Path) -> None:
    file = official.write("ced_tiny", tmp_path, form)
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(WeightsError, match="truncated or damaged") as caught:
        load_encoder("ced_tiny", weights=file)
    assert "\n" not in str(caught.value)


def test_the_archive_around_a_checkpoint_is_refused_with_what_to_unpack(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "release.zip", "w") as archive:
        archive.writestr("m2d_clap/weights_ep67it3124-0.48558.pth", b"x")
    with pytest.raises(WeightsError, match=r"unpack it, give m2d_clap/weights_ep67"):
        load_encoder("m2d_clap", weights=tmp_path / "release.zip")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"nowhere.pt: no such weights file"):
        load_encoder("ced_tiny", weights=tmp_path / "nowhere.pt")
    with pytest.raises(WeightsError, match=r"cannot be read \(is a folder\)"):
        load_encoder("ced_tiny", weights=tmp_path)


# The cache of conversions


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The pickles that were read."""
    seen: list[str] = []
    original = torch.load

    def spy(file: Any, **how: Any) -> Any:
        assert how["weights_only"] is True
        seen.append(Path(file).name)
        return original(file, **how)

    monkeypatch.setattr(torch, "load", spy)
    return seen


@pytest.mark.parametrize("name", ["beats_ft1", "ced_tiny", "m2d_clap"])
def test_a_pickle_is_read_once_whatever_it_is_called(
    name: str, reads: list[str], tmp_path: Path
) -> None:
    form = {"beats_ft1": "cpt1.pt", "ced_tiny": "zenodo.pt", "m2d_clap": "2024.pth"}[name]
    file = official.write(name, tmp_path, form)
    first = load_encoder(name, weights=file)
    second = load_encoder(name, weights=file.rename(tmp_path / "renamed.bin"))
    assert len(reads) == 1
    assert first.fingerprint == second.fingerprint
    (entry,) = entries()
    assert all(tensor.dtype == torch.float32 for tensor in load_file(entry).values())
    assert entry.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in weights_folder().iterdir()] == [entry.name]


def test_a_safetensors_file_is_not_copied(tmp_path: Path) -> None:
    load_encoder("ced_tiny", weights=official.write("ced_tiny", tmp_path))
    assert entries() == []


@pytest.mark.parametrize("damage", ["truncated", "one bit", "another value", "not safetensors"])
def test_a_damaged_entry_is_made_again(damage: str, reads: list[str], tmp_path: Path) -> None:
    file = official.write("ced_tiny", tmp_path, "zenodo.pt")
    whole = load_encoder("ced_tiny", weights=file)
    (entry,) = entries()
    content = bytearray(entry.read_bytes())
    if damage == "truncated":
        entry.write_bytes(content[:-100])
    elif damage == "one bit":
        content[-1] ^= 1
        entry.write_bytes(content)
    elif damage == "another value":
        with safe_open(entry, framework="pt") as opened:
            header = opened.metadata()
        tensors = load_file(entry)
        tensors["norm.bias"] += 1.0
        save_file(tensors, entry, metadata=header)
    else:
        entry.write_bytes(b"<html></html>")
    again = load_encoder("ced_tiny", weights=file)
    assert len(reads) == 2
    assert again.fingerprint == whole.fingerprint
    load_encoder("ced_tiny", weights=file)
    assert len(reads) == 2


def test_a_damaged_entry_is_set_aside_and_said(tmp_path: Path) -> None:
    file = official.write("ced_tiny", tmp_path, "zenodo.pt")
    load_encoder("ced_tiny", weights=file)
    (entry,) = entries()
    content = bytearray(entry.read_bytes())
    content[-1] ^= 1
    entry.write_bytes(content)
    with pytest.warns(FirstshotWarning, match=r"set aside as .*\.damaged, and they are looked for"):
        load_encoder("ced_tiny", weights=file)
    assert entry.with_name(f"{entry.name}.damaged").read_bytes() == content


def test_the_entry_of_another_file_is_told_from_its_own(reads: list[str], tmp_path: Path) -> None:
    """Two networks of one geometry: only the entry's name inside it tells them apart."""
    tensors, files = official.ced_hub(), []
    for number in range(2):
        changed = {k: v.clone() + 0.01 * number for k, v in tensors.items()}
        files.append(official.write_content(changed, tmp_path / f"{number}.safetensors"))
        keep_file(ENCODERS["ced_tiny"], files[-1])
    expected = load_encoder("ced_tiny").fingerprint
    first, second = entries()
    own = {path: path.read_bytes() for path in (first, second)}
    first.write_bytes(own[second])
    second.write_bytes(own[first])
    for path in files:
        path.unlink()
    with (
        pytest.warns(FirstshotWarning, match="not the weights that were written there"),
        pytest.raises(WeightsError, match="not on this machine"),
    ):
        load_encoder("ced_tiny", fetch_missing=False)
    for path, content in own.items():
        path.write_bytes(content)
    assert load_encoder("ced_tiny").fingerprint == expected


@pytest.mark.parametrize(
    "change",
    [{"entry": 3}, {"entry": "../elsewhere.safetensors"}, {"source": None}, {"more": "x"}],
)
def test_a_pointer_that_is_not_one_is_told_of(tmp_path: Path, change: dict[str, Any]) -> None:
    keep_file(ENCODERS["ced_tiny"], official.write("ced_tiny", tmp_path))
    path = weights_folder() / "ced_tiny.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.warns(FirstshotWarning, match="looked for as if it were not there"):
        assert read_pointer(ENCODERS["ced_tiny"]) is None


def test_two_at_once_convert_to_one_whole_entry(tmp_path: Path) -> None:
    file = official.write("ced_tiny", tmp_path, "zenodo.pt")
    found: list[str] = []

    def load() -> None:
        found.append(load_encoder("ced_tiny", weights=file).fingerprint)

    threads = [threading.Thread(target=load) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len(set(found)) == 1
    assert [path.suffix for path in weights_folder().iterdir()] == [".safetensors"]


def test_a_cache_that_cannot_be_written_costs_time_not_the_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "blocked").write_text("a file where a folder is needed")
    monkeypatch.setenv("FIRSTSHOT_CACHE", str(tmp_path / "blocked"))
    file = official.write("ced_tiny", tmp_path, "zenodo.pt")
    with pytest.warns(FirstshotWarning, match=r"cannot be written .* read anew each time"):
        encoder = load_encoder("ced_tiny", weights=file)
    assert encoder.depth == 2
    with pytest.raises(OutputError, match="set FIRSTSHOT_CACHE to another folder"):
        keep_file(ENCODERS["ced_tiny"], file)


def test_a_kept_file_is_found_by_the_name_alone(tmp_path: Path, reads: list[str]) -> None:
    file = official.write("beats_ft1", tmp_path)
    keep_file(ENCODERS["beats_ft1"], file)
    pointer = read_pointer(ENCODERS["beats_ft1"])
    assert pointer is not None
    assert pointer.source == str(file)
    by_path = load_encoder("beats_ft1", weights=file).fingerprint
    (entry,) = entries()
    entry.write_bytes(entry.read_bytes()[:-8])
    assert load_encoder("beats_ft1").fingerprint == by_path
    file.unlink()
    assert load_encoder("beats_ft1").fingerprint == by_path
    entry.write_bytes(entry.read_bytes()[:-8])
    with pytest.raises(WeightsError, match="no such weights file; get BEATs_iter3"):
        load_encoder("beats_ft1")
    assert reads == [file.name, file.name]


# Licence, settings, devices


def test_m2d_s_terms_are_shown_whenever_its_weights_are_loaded(tmp_path: Path) -> None:
    file = official.write("m2d_clap", tmp_path)
    for _ in range(2):
        with pytest.warns(FirstshotWarning, match="internal, non-commercial testing only"):
            load_encoder("m2d_clap", weights=file)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_encoder("ced_tiny", weights=official.write("ced_tiny", tmp_path))


@pytest.mark.parametrize("name", ["m2d_clap", "beats_ft1"])
def test_weights_that_cannot_be_fetched_are_asked_for_in_one_line(name: str) -> None:
    with pytest.raises(WeightsError, match=r"not on this machine; get .* weights=PATH") as caught:
        load_encoder(name)
    assert "\n" not in str(caught.value)


def test_settings_reach_spec_geometry_and_encoder(tmp_path: Path) -> None:
    eat = official.write("eat", tmp_path)
    short: Any = load_encoder("eat", weights=eat, least_frames=16, output="ffn", pooled="real")
    assert short.grid(16000, 1) == (7, 8)
    assert (short.spec.output, short.spec.pooled) == ("ffn", "real")
    assert load_encoder("eat", weights=eat).grid(16000, 1) == (64, 8)
    ced: Any = load_encoder(
        "ced_tiny",
        weights=official.write("ced_tiny", tmp_path),
        last_layer="normed",
        micro_batch=3,
        fixed_samples=160000,
        dtype="float64",
    )
    assert (ced.network.last_layer, ced.micro_batch, str(ced.network.dtype)) == (
        "normed",
        3,
        "torch.float64",
    )
    assert ced.grid(16000, 1) == (62, 4)


def test_m2d_of_shorter_pieces_is_a_setting_and_its_file_fits_no_other(tmp_path: Path) -> None:
    tensors = official._m2d_fine_tuned()
    name = "module.ar.runtime.backbone.pos_embed"
    tensors[name] = tensors[name][:, : 1 + 5 * 38].clone()
    file = official.write_content(tensors, tmp_path / "608.pth")
    with pytest.raises(WeightsError, match=r"pos_embed is \(1, 191, 32\), expected \(1, 311, 32\)"):
        load_encoder("m2d_clap", weights=file)
    for _ in ("read", "converted"):
        assert load_encoder("m2d_clap", weights=file, piece_frames=608).grid(160000, 1) == (63, 5)
    with pytest.raises(WeightsError, match="pos_embed"):
        load_encoder("m2d_clap", weights=file)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (
            {"keep_level": True},
            "no setting 'keep_level'; it has: fixed_samples, pooled, last_layer",
        ),
        ({"pooled": "some"}, "pooled 'some' is not known"),
        ({"variant": "best"}, "variant 'best' is not known; known: finetuned"),
        ({"variant": "finetuned"}, "leave variant out"),
        ({"dtype": "int8"}, "dtype 'int8'"),
        ({"device": "cudda"}, "device 'cudda' cannot be used here"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    settings: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(ParameterError, match=reason) as caught:
        load_encoder("ced_tiny", weights=official.write("ced_tiny", tmp_path), **settings)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"device 'cuda' cannot be used here .* choose cpu"):
        load_encoder("ced_tiny", weights=official.write("ced_tiny", tmp_path), device="cuda")


def test_the_formats_are_told_apart_by_content(tmp_path: Path) -> None:
    kinds = {
        form: checkpoint_files.kind_of(official.write("ced_tiny", tmp_path, form), "")
        for form in official.FORMATS["ced"]
    }
    assert kinds == {
        "hub.safetensors": "safetensors",
        "zenodo.pt": "zip pickle",
        "wrapped.pt": "zip pickle",
    }


# Without torch

WITHOUT_TORCH = """
import json, sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")

if sys.argv[1] == "blocked":
    sys.meta_path.insert(0, NoTorch())
import numpy as np
import firstshot
from firstshot.cli.encoders import app
from firstshot.encoders.weights import catalog
from typer.testing import CliRunner

listed = CliRunner().invoke(app, ["--json"])
counted = CliRunner().invoke(app, ["--complexity", "--json"])
assert "torch" not in sys.modules
noise = np.random.default_rng(0).standard_normal((12, 16000)).astype(np.float32)
score = firstshot.Detector().fit(noise, sample_rate=16000).predict((noise[0], 16000)).score
assert "torch" not in sys.modules
errors = []
if sys.argv[1] == "blocked":
    for name in ("ced_tiny", "beats_ft1"):
        try:
            firstshot.load_encoder(name, weights="somewhere.pt")
        except firstshot.errors.MissingLibraryError as error:
            errors.append(str(error))
print(json.dumps([listed.exit_code, counted.exit_code, json.loads(listed.stdout), errors]))
"""


@pytest.mark.parametrize("torch_is", ["blocked", "there"])
def test_without_torch_all_but_the_pretrained_encoders_works(torch_is: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, torch_is], capture_output=True, text=True, check=True
    )
    listed, counted, rows, errors = json.loads(done.stdout)
    assert (listed, counted) == (0, 0)
    assert [row["name"] for row in rows][: 2 + len(ENCODERS)] == ["logmel", "spectra", *ENCODERS]
    if torch_is == "blocked":
        assert errors == [
            f"{name} needs PyTorch (No module named 'torch'); "
            "run `pip install 'firstshot[encoders]'`"
            for name in ("ced_tiny", "beats_ft1")
        ]
