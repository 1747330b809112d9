"""The cost is bytes of the records, and clips times what was measured here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.dcase.record_server import RecordServer
from tests.dcase.reproducing.conftest import RECORD
from tests.encoders.hub_server import Hub

from firstshot.dcase.data.download import download
from firstshot.dcase.data.zenodo import Connection
from firstshot.dcase.reproducing import cost as cost_module
from firstshot.dcase.reproducing.cost import Cost, estimate_cost
from firstshot.dcase.reproducing.plan import make_plan
from firstshot.detector.embedding import EmbeddingSettings
from firstshot.encoders.weights.catalog import find_record
from firstshot.encoders.weights.find import keep_file
from firstshot.errors import DownloadError

SECONDS = {"logmel": 0.001, "ced_tiny": 0.1}
VECTOR = 1e-5


@pytest.fixture(autouse=True)
def _fixed_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of known speed."""

    def of_clip(settings: EmbeddingSettings, workers: int | None = None) -> float:
        return SECONDS[settings.encoder.name]

    monkeypatch.setattr(cost_module, "seconds_per_clip", of_clip)
    monkeypatch.setattr(cost_module, "seconds_per_vector", lambda system, at_once: VECTOR)
    monkeypatch.setattr(
        "firstshot.dcase.reproducing.plan.SYSTEMS",
        (
            "embedded",
            "system4",
            "baseline_mse",
            "baseline_mahala",
            "system1",
            "system2",
            "system3",
        ),
    )


def cost_of(records: RecordServer, folder: Path) -> Cost:
    connection = Connection(records.url, timeout=5, tries=2, first_pause=0.01)
    return estimate_cost(make_plan(2025, folder / "data", folder / "out"), connection, workers=2)


def macs(name: str, deepest: int) -> float:
    spec = find_record(name).spec
    return spec.macs(160000) * deepest / spec.depth


def test_bytes_are_those_of_the_records_and_hours_those_of_the_measurement(
    records: RecordServer, hub: Hub, weights_file: Path, tmp_path: Path
) -> None:
    keep_file(find_record("ced_tiny"), weights_file)
    # The service announces sizes; 3.2 MB are ten clips of 10 s before they are packed.
    records.records[RECORD] = {"dev_fan.zip": bytes(3_200_000), "dev_valve.zip": bytes(320_000)}
    cost = cost_of(records, tmp_path)
    assert cost.archives == {"dev_fan.zip": 3_200_000, "dev_valve.zip": 320_000}
    assert set(cost.weights) == {"sslam", "eat_large"}
    assert (cost.clips, cost.counted) == (14, False)  # 11 clips' bytes, 1.27 times unpacked
    hours = {name: 3600 * (value or 0.0) for name, value in cost.hours.items()}
    assert hours["embedded"] == pytest.approx(14 * 0.001)
    assert hours["system4"] == pytest.approx(14 * 0.1)
    # Five trials on two cores take three turns of 100 epochs over 309 vectors of each clip.
    assert hours["baseline_mse"] == pytest.approx(3 * 100 * 12 * 309 * VECTOR)
    assert hours["baseline_mahala"] == 0.0
    # System 1 has the last two layers of five encoders, of which ced_tiny's alone is measured.
    deep = {"beats_ft1": 12, "m2d_clap": 12, "sslam": 12, "eat_large": 24}
    rate = 0.1 / macs("ced_tiny", 12)
    scaled = {name: rate * macs(name, layer) for name, layer in deep.items()}
    assert hours["system1"] == pytest.approx(14 * (0.1 + sum(scaled.values())))
    assert hours["system2"] == 0.0
    # System 3 shares ced_tiny with system 4, and eat_large with system 1.
    middle = sum(macs(name, 10) for name in ("beats_ft1", "m2d_clap", "sslam"))
    assert hours["system3"] == pytest.approx(14 * rate * middle)
    assert set(cost.scaled) == set(deep)
    assert cost.reference == "ced_tiny"


def test_clips_that_are_there_are_counted_and_the_service_is_not_asked(
    records: RecordServer, hub: Hub, tmp_path: Path
) -> None:
    download(2025, tmp_path / "data", parts=["dev"], connection=Connection(records.url))
    records.asked.clear()
    cost = cost_of(records, tmp_path)
    assert (cost.clips, cost.counted, cost.archives) == (2 * (24 + 8), True, {})
    assert records.asked == []
    trained = cost.hours["baseline_mse"]
    assert trained == pytest.approx(3 * 100 * 48 * 309 * VECTOR / 3600)


def test_without_any_weights_a_random_encoder_is_the_measure(
    records: RecordServer, hub: Hub, tmp_path: Path
) -> None:
    cost = cost_of(records, tmp_path)
    assert cost.reference == "ced_tiny with random weights"
    assert cost.hours["system4"] == pytest.approx(cost.clips * 0.1 / 3600)


def test_without_torch_hours_are_not_known(
    records: RecordServer, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    hours = cost_of(records, tmp_path).hours
    assert hours.pop("embedded") is not None
    assert set(hours.values()) == {None}


def test_a_service_that_is_away_is_an_error(records: RecordServer, tmp_path: Path) -> None:
    records.records.clear()
    with pytest.raises(DownloadError, match="not there"):
        cost_of(records, tmp_path)
