"""`firstshot dcase reproduce` in a terminal's eyes."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.dcase.record_server import RecordServer
from tests.dcase.reproducing.conftest import hub, records, weights_file, year_files  # noqa: F401
from tests.encoders.hub_server import Hub
from typer.testing import CliRunner

from firstshot.cli.challenge.app import app
from firstshot.dcase.reproducing.run import PAGE


def test_a_dry_run_says_gigabytes_and_hours_and_changes_nothing(
    records: RecordServer,  # noqa: F811
    hub: Hub,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["reproduce", "--api", records.url, "--dry-run"])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0].startswith("archives of 2025 to download: 2, 0.00")
    assert any(line.startswith("  dev_fan.zip: 0.000") for line in lines)
    assert any(line.startswith("  eat_large (MIT (repository)): 1.24 GB, hub: ") for line in lines)
    assert "weights that you must get yourself: 2" in lines
    (line,) = [line for line in lines if line.startswith("  beats_ft1 (MIT")]
    assert "1drv.ms" in line
    hours = {words[0]: words[1] for words in map(str.split, lines) if len(words) == 2}
    assert float(hours["system1"]) > float(hours["system4"]) > 0.0
    assert "nothing was changed" in lines
    assert list(tmp_path.iterdir()) == []
    assert hub.asked == []


def test_a_call_prints_official_scores_with_intervals_and_the_page(
    records: RecordServer,  # noqa: F811
    hub: Hub,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    systems = ("system4", "system1")
    monkeypatch.setattr("firstshot.dcase.reproducing.plan.SYSTEMS", systems)
    monkeypatch.chdir(tmp_path)
    words = ["reproduce", "--api", records.url, "--machine", "fan", "-o", "out", "--workers", "1"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("system4  ")]
    _, here, interval, published, difference = row.split()
    low, high = map(float, interval.split("–"))
    assert low <= float(here) <= high
    assert published == "54.00"
    assert float(difference) == pytest.approx(float(here) - 54.0, abs=0.011)
    assert f"the page: out/{PAGE}" in done.stdout.splitlines()
    assert done.stderr.splitlines()[-1].startswith("error: without a whole result: system1; mend")


def test_a_call_that_ran_everything_ends_with_status_0_and_a_second_one_too(
    records: RecordServer,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("firstshot.dcase.reproducing.plan.SYSTEMS", ("embedded",))
    monkeypatch.setenv("FIRSTSHOT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    words = ["reproduce", "--api", records.url, "--quiet"]
    for said in ("embedded: running", "embedded: finished before"):
        done = CliRunner().invoke(app, words)
        assert (done.exit_code, done.stderr) == (0, "")
        assert done.stdout.splitlines()[0] == said
        assert f"the page: reproduce-2025/{PAGE}" in done.stdout.splitlines()
    done = CliRunner().invoke(app, [*words, "--dry-run"])
    assert "embedded: finished" in done.stdout.splitlines()
    assert "archives of 2025 to download: 0, 0 GB" in done.stdout.splitlines()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--year", "2019"], "year 2019: no data known; choose one of 2020"),
        (["--machine", "Toaster"], "machine 'Toaster': not in the chosen parts of 2025"),
        (["--api", "ftp://x"], "archive service"),
        (["-o", "file"], "file is a file"),
    ],
)
def test_what_cannot_be_used_is_one_line(firstshot, tmp_path, words, named):
    (tmp_path / "file").write_text("")
    done = firstshot("dcase", "reproduce", *words, cwd=tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert named in line
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
