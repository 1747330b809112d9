"""The plan says what is on this machine, and asks nobody for it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.dcase.record_server import RecordServer
from tests.encoders.hub_server import COMMIT, Hub

from firstshot.complexity import FIVE_ENCODERS
from firstshot.dcase.data.archives import YEARS
from firstshot.dcase.reproducing.plan import SYSTEMS, Plan, make_plan
from firstshot.encoders.weights.catalog import find_record
from firstshot.encoders.weights.find import keep_file
from firstshot.errors import ParameterError


def places(plan: Plan) -> dict[str, str]:
    return {weights.name: weights.place for weights in plan.weights}


def test_on_an_empty_disk_all_is_missing_and_nobody_is_asked(
    records: RecordServer, hub: Hub, tmp_path: Path
) -> None:
    plan = make_plan(2025, tmp_path / "data", tmp_path / "out")
    assert [archive.name for archive in plan.missing] == ["dev_fan.zip", "dev_valve.zip"]
    assert plan.sections == ()
    found = places(plan)
    assert {name: found[name] for name in FIVE_ENCODERS} == {
        "ced_tiny": "fetch",
        "beats_ft1": "by hand",
        "m2d_clap": "by hand",
        "sslam": "fetch",
        "eat_large": "fetch",
    }
    assert all(plan.finished(system) is None for system in plan.systems)
    assert records.asked == []
    assert hub.asked == []
    assert list(tmp_path.iterdir()) == []


def test_weights_in_the_cache_or_in_the_hubs_cache_are_here(
    hub: Hub, weights_file: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "no-hub-cache/hub/models--ta012--SSLAM_AS2M_Finetuned"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs/main").write_text(COMMIT)
    (kept / "snapshots" / COMMIT).mkdir(parents=True)
    shutil.copy(weights_file, kept / "snapshots" / COMMIT / "model.safetensors")
    keep_file(find_record("ced_tiny"), weights_file)
    plan = make_plan(2025, tmp_path / "data", tmp_path / "out")
    assert [name for name, place in places(plan).items() if place == "here"] == [
        "ced_tiny",
        "sslam",
    ]
    by_name = {system.name: plan.obstacle(system) for system in plan.systems}
    assert by_name["system4"] is None
    assert by_name["system1"] == (
        "the weights of beats_ft1, m2d_clap, eat_large are not on this machine"
    )


def test_the_size_of_a_file_is_the_published_one_or_that_of_its_parameters(tmp_path: Path) -> None:
    sizes = {w.name: w.size for w in make_plan(2025, tmp_path, tmp_path).weights}
    assert sizes["eat_large"] == 1_237_667_364
    assert sizes["ced_tiny"] == pytest.approx(4 * 5.49e6, rel=0.02)


def test_every_year_of_the_archives_has_a_plan_and_no_other(tmp_path: Path) -> None:
    for year in YEARS:
        assert make_plan(year, tmp_path, tmp_path).missing
    with pytest.raises(ParameterError, match="year 2019: no data known"):
        make_plan(2019, tmp_path, tmp_path)


def test_the_reports_systems_and_baselines_are_all_planned() -> None:
    wanted = {"system1", "system2", "system3", "system4", "baseline_mse", "baseline_mahala"}
    assert set(SYSTEMS) == wanted | {"recommended", "recommended_fusion"}
