"""The report's tables by one call: what is missing comes, what can run runs, all is on one page."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.dcase.record_server import RecordServer
from tests.dcase.reproducing.conftest import CED, RECORD
from tests.encoders.hub_server import Hub

from firstshot.autoencoder.settings import TrainingSettings
from firstshot.dcase.comparing.page import render_comparison
from firstshot.dcase.data.zenodo import Connection
from firstshot.dcase.reproducing import plan as plan_module
from firstshot.dcase.reproducing.plan import SYSTEMS
from firstshot.dcase.reproducing.run import PAGE, Reproduction, Tools, reproduce
from firstshot.dcase.running.run import run_system
from firstshot.dcase.running.stored_run import read_run
from firstshot.dcase.running.system import AnySystem, BaselineSystem, load_system
from firstshot.errors import DatasetError, DownloadError, OutputError
from firstshot.store import EmbeddingStore

QUICK = ("embedded", "system4")
PROGRAM = """
from firstshot.cli import main
from firstshot.dcase.reproducing import plan
plan.SYSTEMS = ("embedded", "system4", "system1")
main()
"""
"""The command with fewer systems."""


def call(records: RecordServer, folder: Path, said: list[str] | None = None) -> Reproduction:
    tools = Tools(
        connection=Connection(records.url, timeout=5, tries=2, first_pause=0.01),
        store=EmbeddingStore(folder / "store"),
        workers=1,
        say=(said if said is not None else []).append,
    )
    return reproduce(2025, folder / "data", folder / "out", tools=tools)


def official_scores(found: Reproduction) -> dict[str, float | None]:
    return {c.system: c.overall.cells["official_score"].here for c in found.comparisons}


def load_short(name: str) -> AnySystem:
    """Load a system, a baseline with one short training."""
    system = load_system(name)
    if isinstance(system, BaselineSystem):
        short = {"seeds": (1,), "training": TrainingSettings(epochs=1)}
        return system.model_copy(update=short)
    return system


def test_what_can_run_runs_and_what_lacks_weights_is_named(
    records: RecordServer, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_module, "load_system", load_short)
    said: list[str] = []
    found = call(records, tmp_path, said)
    run = ["system4", "baseline_mse", "baseline_mahala"]
    assert [c.system for c in found.comparisons] == [SYSTEMS[0], *run]
    assert [(c.system, c.published) for c in found.comparisons][1:] == [(n, n) for n in run]
    assert set(found.failures) == {"recommended_fusion", "system1", "system2", "system3"}
    assert "efficientat_mn04" in found.failures["recommended_fusion"]
    lacking = "the weights of beats_ft1, m2d_clap, sslam, eat_large are not on this machine"
    assert found.failures["system1"] == lacking
    # Weights to get by hand are named once, with address and licence; what the hub lacks is told.
    for name, licence, place in (
        ("beats_ft1", "MIT", "github.com/microsoft/unilm"),
        ("m2d_clap", "NTT evaluation licence", "github.com/nttcslab/m2d"),
    ):
        (line,) = [line for line in said if line.startswith(f"weights of {name} ({licence}")]
        assert place in line
        assert f"`firstshot encoders fetch {name} --from FILE`" in line
    for name in ("sslam", "eat_large", "efficientat_mn04"):
        assert any(line.startswith(f"weights of {name}: not fetched, ") for line in said)
    assert [path for method, path, _ in hub.asked if method == "GET"] == [f"/storage/{CED}"]
    page = found.page.read_text()
    assert found.page == tmp_path / "out" / PAGE
    assert all(name in page for name in [*run, lacking])


def test_the_numbers_are_those_of_the_systems_run_one_by_one(
    records: RecordServer, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_module, "SYSTEMS", QUICK)
    found = call(records, tmp_path)
    assert found.failures == {}
    data = tmp_path / "data" / "dcase2025t2" / "dev_data" / "raw"
    store = EmbeddingStore(tmp_path / "store")
    for name in ("embedded", "system4"):
        run_system(data, load_system(name), tmp_path / name, store=store)
        alone, here = read_run(tmp_path / name), read_run(tmp_path / "out" / name)
        assert [s.metrics for s in here.sections] == [s.metrics for s in alone.sections]
        assert [s.machine for s in here.sections] == ["fan", "valve"]
    # Beside Table 3 with an interval, beside Tables 1 and 4 with the costs.
    cell = found.comparisons[1].lines[0].cells["official_score"]
    assert cell.published == 54.00
    assert cell.interval is not None
    page = re.sub(r"\s+", " ", found.page.read_text())
    assert "as in Table 2 of the GenRep report" in page
    counts = page[page.index("as in Tables 1 and 4") :]
    assert re.search(r"system1</th>(<td class=\"n\">[\d.]+</td>){4}", counts)
    assert "271.71</td>" in counts
    assert "Without a whole result" not in page
    assert "as in Table 2" not in render_comparison(found.comparisons[:1])


def test_a_second_call_asks_nobody_and_runs_nothing_again(
    records: RecordServer, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_module, "SYSTEMS", QUICK)
    first = call(records, tmp_path)
    results = tmp_path / "out" / "system4" / "results.json"
    before = results.stat()
    records.asked.clear()
    hub.asked.clear()
    shutil.rmtree(tmp_path / "cache" / "weights")  # a finished system needs no weights
    said: list[str] = []
    again = call(records, tmp_path, said)
    assert said == ["embedded: finished before", "system4: finished before"]
    assert (records.asked, hub.asked) == ([], [])
    assert (results.stat().st_mtime_ns, results.stat().st_ino) == (
        before.st_mtime_ns,
        before.st_ino,
    )
    assert official_scores(again) == official_scores(first)


def test_weights_that_come_later_let_the_same_call_finish(
    records: RecordServer, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_module, "SYSTEMS", QUICK)
    held = hub.files.pop(CED)
    found = call(records, tmp_path)
    assert found.failures == {"system4": "the weights of ced_tiny are not on this machine"}
    hub.files[CED] = held
    said: list[str] = []
    assert call(records, tmp_path, said).failures == {}
    assert "embedded: finished before" in said
    assert "system4: running" in said


def test_without_torch_the_systems_that_need_it_are_named_and_nothing_is_fetched(
    records: RecordServer, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    found = call(records, tmp_path)
    assert [c.system for c in found.comparisons] == [SYSTEMS[0]]
    assert set(found.failures) == set(SYSTEMS[1:])
    assert "pip install 'firstshot[encoders]'" in found.failures["baseline_mse"]
    assert hub.asked == []


def test_a_full_disk_stops_before_the_first_byte(
    records: RecordServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"total": 1000, "used": 0, "free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(OutputError, match="free"):
        call(records, tmp_path)
    assert [asked.path for asked in records.asked] == [f"/api/records/{RECORD}"]
    assert not (tmp_path / "out").exists()


def test_an_archive_service_that_is_away_is_one_error_and_no_folder(
    records: RecordServer, tmp_path: Path
) -> None:
    records.records.clear()
    with pytest.raises(DownloadError, match="not there"):
        call(records, tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_page_of_another_program_is_not_replaced(records: RecordServer, tmp_path: Path) -> None:
    page = tmp_path / "out" / PAGE
    page.parent.mkdir()
    page.write_text("<title>My thesis</title>")
    with pytest.raises(OutputError, match="is not replaced"):
        call(records, tmp_path)
    assert records.asked == []


def test_no_result_at_all_is_one_error(
    records: RecordServer, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_module, "SYSTEMS", ("system1",))
    with pytest.raises(DatasetError, match="no system has a result; system1: the weights of beats"):
        call(records, tmp_path)


def test_another_runs_folder_is_refused_and_the_others_run(
    records: RecordServer, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_module, "SYSTEMS", ("embedded", "baseline_mse"))
    monkeypatch.setattr(plan_module, "load_system", load_short)
    theirs = tmp_path / "out" / "embedded" / "thesis.tex"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("")
    found = call(records, tmp_path)
    assert [c.system for c in found.comparisons] == ["baseline_mse"]
    assert "holds thesis.tex" in found.failures["embedded"]


def test_a_clip_that_cannot_be_read_stops_its_machine_only_and_is_named(
    records: RecordServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_module, "SYSTEMS", ("embedded",))
    call(records, tmp_path)
    train = tmp_path / "data" / "dcase2025t2" / "dev_data" / "raw" / "fan" / "train"
    clip = min(train.iterdir())
    clip.write_bytes(bytes(clip.stat().st_size))
    (tmp_path / "out").rename(tmp_path / "earlier")
    found = call(records, tmp_path)
    assert found.failures["embedded"].startswith("fan_section_00: ")
    assert clip.name in found.failures["embedded"]
    assert [line.machine for line in found.comparisons[0].lines] == ["valve"]
    page = found.page.read_text()
    assert "Without a whole result" in page
    assert clip.name in page


def test_a_killed_call_goes_on_where_it_was(
    records: RecordServer, hub: Hub, tmp_path: Path
) -> None:
    words = f"dcase reproduce --machine fan --api {records.url} --workers 1".split()
    command = [sys.executable, "-c", PROGRAM, *words]
    settings: dict[str, Any] = {"cwd": tmp_path, "env": {**os.environ, "OMP_NUM_THREADS": "1"}}
    out = tmp_path / "reproduce-2025"
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, **settings)
    deadline = time.monotonic() + 60
    while not (out / "system4" / "run.json").exists() or not stored_since(tmp_path, out):
        assert time.monotonic() < deadline, "system4 did not begin"
        assert killed.poll() is None
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert (out / "embedded" / "results.json").exists()
    assert not (out / "system4" / "results.json").exists()
    before, asked = stored_since(tmp_path, out), len(records.asked)
    done = subprocess.run(command, capture_output=True, text=True, check=False, **settings)
    assert done.returncode == 2
    assert "embedded: finished before" in done.stdout.splitlines()
    assert len(records.asked) == asked
    assert before.items() <= stored_since(tmp_path, out).items()
    assert [path for method, path, _ in hub.asked if method == "GET"] == [f"/storage/{CED}"]
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: without a whole result: system1; mend")
    assert (out / PAGE).exists()


def stored_since(folder: Path, out: Path) -> dict[str, int]:
    """Return the times of writing of stored embeddings that are newer than embedded's results."""
    since = (out / "embedded" / "results.json").stat().st_mtime_ns
    found = (folder / "cache" / "embeddings").rglob("*.safetensors")
    times = {path.name: path.stat().st_mtime_ns for path in found}
    return {name: written for name, written in times.items() if written > since}
