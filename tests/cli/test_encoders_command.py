"""`firstshot encoders`: the list, Table 4, and fetching."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from firstshot.cli.encoders import app
from firstshot.complexity import FIVE_ENCODERS, complexity
from firstshot.encoders.weights.catalog import ENCODERS
from firstshot.errors import FirstshotError, ParameterError, WeightsError

TABLE_4 = {
    "beats_ft1": (45_009_203_200, 90_713_071),
    "m2d_clap": (26_499_511_296, 85_253_376),
    "eat": (43_711_540_224, 85_253_376),
    "sslam": (43_711_540_224, 85_253_376),
    "eat_large": (155_157_991_424, 302_574_592),
    "ced_tiny": (1_333_796_672, 5_490_319),
    "ced_base": (21_132_263_936, 85_660_303),
}
"""MACs and parameters of a 10 s clip, counted by thop 0.1.1 on the originals."""


@pytest.fixture(autouse=True)
def _empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FIRSTSHOT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "no-hub-cache"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def rows(*arguments: str) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in json.loads(run(*arguments, "--json"))}


def test_the_list_names_every_encoder_with_size_cost_grid_and_licence() -> None:
    found = rows()
    assert list(found)[: 2 + len(ENCODERS)] == ["logmel", "spectra", *ENCODERS]
    for name, row in found.items():
        if name in ENCODERS:
            assert (row["macs"], row["parameters"]) == (
                complexity(name).macs,
                complexity(name).parameters,
            )
            assert row["licence"]
            assert row["ready"] is False
    assert found["eat_large"]["grid"] == [[64, 8]] * 24
    assert (found["eat_large"]["dim"], found["eat_large"]["depth"]) == ([1024] * 24, 24)
    assert found["spectra"]["dim"] == [3, 2, 1, 1]
    assert [rows for _, rows in found["spectra"]["grid"]] == [48, 128, 48, 192]
    assert found["logmel"]["weights"] == "none needed"
    printed = run()
    for fact in (
        "302.57 M",
        "155.16 G",
        "12 of 62 x 4 x 192",
        "4, 1 x 48 x 3 to 1 x 192 x 1",
        "Apache-2.0",
        "firstshot encoders fetch ced_tiny",
    ):
        assert fact in printed
    assert "not pinned" in printed


def test_the_list_counts_clips_of_any_length() -> None:
    six = rows("--seconds", "6")
    assert six["m2d_clap"]["macs"] == 16_274_543_616
    assert six["ced_tiny"]["grid"][-1] == [37, 4]
    assert "MACs 6 s" in run("--seconds", "6")


def test_complexity_reproduces_table_4_of_the_report() -> None:
    found = rows("--complexity")
    for name, (macs, parameters) in TABLE_4.items():
        row = found[name]
        assert (row["macs"], row["parameters"]) == (macs, parameters)
        assert round(macs / 1e9, 2) == row["published_gmacs"]
        assert round(parameters / 1e6, 2) == row["published_mparameters"]
    assert found["autoencoder"]["parameters"] == 267_928
    for system in ("system1", "system2", "system3"):
        row = found[system]
        assert row["macs"] == sum(TABLE_4[name][0] for name in FIVE_ENCODERS)
        assert row["parameters"] == sum(TABLE_4[name][1] for name in FIVE_ENCODERS)
        assert round(row["macs"] / 1e9, 2) == row["published_gmacs"] == 271.71
        assert round(row["parameters"] / 1e6, 2) == row["published_mparameters"] == 569.28
    assert found["system4"]["published_gmacs"] == 1.34
    assert found["system4"]["macs"] == TABLE_4["ced_tiny"][0]


def test_attention_s_own_products_are_added_to_the_true_macs() -> None:
    beats = rows("--complexity")["beats_ft1"]
    # 12 layers, two products of 496 x 496 tokens over 768 values.
    assert beats["macs_with_attention"] - beats["macs"] == 12 * 2 * 496 * 496 * 768


def test_published_figures_stand_beside_ten_seconds_only() -> None:
    assert "271.71" in run("--complexity")
    assert "system4" in run("--complexity")
    six = rows("--complexity", "--seconds", "6")
    assert all(row["published_gmacs"] is None for row in six.values())
    assert six["sslam"]["published_mparameters"] == 85.25


def test_a_clip_too_short_to_count_is_refused() -> None:
    with pytest.raises(ParameterError, match="too short for"):
        run("--complexity", "--seconds", "0.01")


def test_weights_that_cannot_be_fetched_are_refused_with_the_terms_shown() -> None:
    pytest.importorskip("torch")
    done = CliRunner().invoke(app, ["fetch", "m2d_clap"])
    assert isinstance(done.exception, WeightsError)
    assert "non-commercial testing only" in done.stderr
    assert "by hand from" in str(done.exception)


def test_names_and_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    for arguments, reason in (
        (["fetch", "wav2vec"], "no pre-trained encoder"),
        (["fetch", "logmel"], "no pre-trained encoder"),
        (["fetch", "eat", "sslam", "--from", str(tmp_path / "x")], "name one encoder"),
        (["fetch", "ced_tiny", "--variant", "pretrained"], "known: finetuned"),
        (["fetch", "ced_tiny"], "HF_HUB_OFFLINE"),
        (["fetch", "beats_ft1", "--from", str(tmp_path / "x")], "no such weights file"),
    ):
        done = CliRunner().invoke(app, arguments)
        assert isinstance(done.exception, FirstshotError), done.output
        assert reason in str(done.exception)


def test_a_fetched_encoder_is_listed_where_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    from tests.encoders import official_files as official
    from tests.encoders.hub_server import COMMIT, serving

    official.use_mini(monkeypatch, tmp_path / "cache")
    content = official.write("ced_tiny", tmp_path).read_bytes()
    with serving({"mispeech/ced-tiny/model.safetensors": content}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        printed = run("fetch", "ced_tiny", "--quiet")
    assert COMMIT in printed
    run("fetch", "beats_ft1", "--from", str(official.write("beats_ft1", tmp_path)))
    found = rows()
    for name in ("ced_tiny", "beats_ft1"):
        assert found[name]["ready"] is True
        assert Path(found[name]["weights"]).is_file()
    assert found["eat"]["ready"] is False


def test_the_command_is_mounted_and_an_error_is_one_line_and_status_2(tmp_path: Path) -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "firstshot", "encoders", "--complexity"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "569,284,734" in listed.stdout
    refused = subprocess.run(
        [sys.executable, "-m", "firstshot", "encoders", "fetch", "wav2vec"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: 'wav2vec' is no pre-trained encoder")
    assert refused.stderr.count("\n") == 1
