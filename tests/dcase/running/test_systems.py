"""The packaged systems are the report's, as Tables 1 and 4 of it and section 2.5 describe them."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import pytest

from firstshot.complexity import SYSTEM_ENCODERS, total
from firstshot.dcase.running.system import list_systems, load_system
from firstshot.encoders.specs import SPECS
from firstshot.scoring.normalizers import default_parameters
from firstshot.sound.audio import LengthPolicy

GENREP = ("system1", "system2", "system3", "system4")
DOCS = Path(__file__).resolve().parents[3] / "docs" / "systems.md"


def _text(name: str) -> str:
    folder = resources.files("firstshot.dcase") / "systems"
    return (folder / f"{name}.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", GENREP)
def test_a_system_runs_the_encoders_whose_costs_the_report_prints(name):
    encoders = [choice.name for choice in load_system(name).encoders]
    assert tuple(encoders) == SYSTEM_ENCODERS[name]
    cost = total(name, encoders)
    macs, parameters = re.search(
        r"\(([\d.]+) G MACs, ([\d.]+) M parameters\)", _text(name)
    ).groups()
    assert cost.macs / 1e9 == pytest.approx(float(macs), abs=0.011)
    assert cost.parameters / 1e6 == pytest.approx(float(parameters), abs=0.006)


@pytest.mark.parametrize(
    ("name", "normalizer", "settings"),
    [
        ("system1", "domain_local_density", {"k_source": 16, "k_target": 9}),
        ("system2", "local_density", {"k": 16}),
        ("system3", "domain_zscore", {"k": 1, "own_std": False}),
        ("system4", "domain_local_density", {"k_source": 16, "k_target": 9}),
    ],
)
def test_normalisers_and_numbers_of_neighbours_are_the_reports(name, normalizer, settings):
    system = load_system(name)
    assert (system.normalizer, system.normalizer_settings) == (normalizer, settings)
    assert system.normalizer_settings == default_parameters(normalizer)
    assert not system.memmixup


@pytest.mark.parametrize("name", GENREP)
def test_layers_are_the_last_two_or_seven_and_ten(name):
    for choice in load_system(name).encoders:
        depth = SPECS[choice.name].depth
        last = name in ("system1", "system2") or choice.name == "eat_large"
        assert choice.layers == ((depth - 1, depth) if last else (7, 10))


@pytest.mark.parametrize("name", GENREP)
def test_clips_are_heard_for_ten_seconds_and_every_assumption_is_marked(name):
    system = load_system(name)
    assert LengthPolicy.parse(system.length) == LengthPolicy.parse("fixed:10")
    marked = {line.split(" =")[0] for line in _text(name).splitlines() if "[assumed]" in line}
    assert {"pooling", "combine", "metric", "transform", "length", "threshold"} <= marked


def test_a_packaged_file_can_be_copied_and_changed(tmp_path):
    text = _text("system4").replace('length = "fixed:10"', 'length = "native"')
    (tmp_path / "mine.toml").write_text(text)
    mine, packaged = load_system(str(tmp_path / "mine.toml")), load_system("system4")
    assert mine == packaged.model_copy(update={"length": "native"})


@pytest.mark.parametrize("name", list_systems())
def test_every_packaged_system_is_described_in_the_documentation(name):
    if not DOCS.is_file():
        pytest.skip("the documentation is not part of this copy")
    assert f"`{name}`" in DOCS.read_text(encoding="utf-8")
    assert load_system(name).name == name
    assert load_system(name).description
