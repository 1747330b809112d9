"""What `firstshot bench` reports is what was asked for, and hangs together."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from firstshot.cli import app
from firstshot.cli.bench import default_encoder, table
from firstshot.deploy import benchmark as benchmark
from firstshot.deploy import timing
from firstshot.deploy.benchmark import BenchReport, bench, start_up
from firstshot.deploy.timing import latencies, matrix_peak, matrix_peak_of, peak_memory, run_fresh
from firstshot.encoders.specs import SPECS
from firstshot.errors import MissingLibraryError, ParameterError, WeightsError


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(benchmark, "matrix_peak_of", lambda threads: 100.0)
    monkeypatch.setenv("FIRSTSHOT_CACHE", str(tmp_path))
    yield


def test_the_numbers_hang_together() -> None:
    report = bench("logmel", clip_seconds=0.5, clips=3)
    assert report.real_time_factor == pytest.approx(0.5 * report.clips_per_second)
    assert 0 < report.latency_p50_ms <= report.latency_p99_ms
    assert (report.runtime, report.precision, report.random_weights) == ("numpy", "fp32", False)
    assert report.start_up_seconds > 0.05
    assert json.loads(json.dumps(asdict(report)))["encoder"] == "logmel"


def test_an_encoder_without_weights_here_is_measured_with_made_up_ones() -> None:
    pytest.importorskip("torch")
    report = bench("ced_tiny", runtime="torch", clip_seconds=1.0, clips=2, layers=(1, 2))
    assert report.random_weights
    assert (report.runtime, report.precision, report.layers) == ("torch", "fp32", (1, 2))
    assert report.front_end_ms is not None
    assert report.front_end_ms < report.latency_p99_ms
    # Two blocks of CED tiny on 6 x 4 tokens, by hand: projections 12 d^2, attention 2 n d a token.
    tokens, dim = 24, 192
    blocks = 2 * tokens * (12 * dim**2 + 2 * tokens * dim)
    norms = (2 * 2 + 1) * 4 * tokens * dim
    around = tokens * dim * 256 + 4 * 64 * 101 + norms + 4 * dim
    assert report.macs_per_clip == blocks + around
    share = 2 * (blocks + around) * report.clips_per_second / 1e9 / 100.0
    assert report.share_of_peak == pytest.approx(share)
    assert "made up" in table(report)


def test_every_runtime_can_be_measured() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    report = bench("ced_tiny", runtime="onnx", clip_seconds=1.0, clips=2, layers=(1,), threads=1)
    assert (report.runtime, report.precision, report.threads) == ("onnx", "fp32", 1)


def test_the_table_leaves_out_what_is_not_known() -> None:
    text = table(bench("logmel", clip_seconds=0.5, clips=1))
    assert "clips a second" in text
    assert "share of it" not in text
    assert "picked because" not in text


def test_without_torch_the_embedded_encoder_is_measured_and_the_others_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runner = CliRunner()
    monkeypatch.setattr("firstshot.cli.bench.find_spec", lambda name: None)
    done = runner.invoke(app, ["bench", "--seconds", "0.5", "--clips", "2", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["encoder"] == "logmel"
    assert json.loads(done.stdout)["latencies"] >= 2
    assert "pip install 'firstshot[encoders]'" in done.stderr
    assert default_encoder("onnx", "auto", None) == "ced_tiny"
    monkeypatch.setattr("firstshot.cli.bench.find_spec", lambda name: object())
    assert default_encoder("auto", "auto", None) == "ced_tiny"
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "torch", None)
    assert default_encoder("auto", "auto", None) == "logmel"
    done = runner.invoke(app, ["bench", "--encoder", "ced_tiny"])
    assert isinstance(done.exception, MissingLibraryError)
    assert "pip install 'firstshot[encoders]'" in str(done.exception)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ParameterError, match="0 clips"):
        bench("logmel", clips=0)
    with pytest.raises(ParameterError, match="clips of -1"):
        bench("logmel", clip_seconds=-1.0)
    for senseless in ({"clip_seconds": float("inf")}, {"workers": 0}, {"clips": 10**9}):
        with pytest.raises(ParameterError, match="at least one worker"):
            bench("logmel", **senseless)
    with pytest.raises(ParameterError, match="weights of its own"):
        bench("logmel", weights="nowhere.pt")
    with pytest.raises(ParameterError, match="a runtime and weights of its own"):
        bench("logmel", runtime="onnx")
    with pytest.raises(ParameterError, match="not known"):
        bench("fft")


def test_a_process_that_cannot_start_says_why() -> None:
    with pytest.raises(WeightsError, match=r"could not start the encoder \(.*'fft' is not known"):
        start_up({"name": "fft", "layers": None}, 16000)


def test_the_peak_is_two_operations_a_multiplication(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "seconds", lambda run: 0.5)
    monkeypatch.setattr(timing, "PEAK_SIZE", 8)
    assert matrix_peak(0.0) == pytest.approx(2 * 8**3 / 0.5 / 1e9)


def test_the_peak_is_measured_with_the_threads_of_the_encoder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = {}

    def run(program: str, purpose: str, env: dict[str, str]) -> str:
        told.update(env)
        return "12.5"

    monkeypatch.setattr(timing, "run_fresh", run)
    assert matrix_peak_of(3) == 12.5
    assert set(told.values()) == {"3"}
    assert {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"} <= set(told)


def test_short_waits_are_repeated_until_a_percentile_means_something() -> None:
    order: list[int] = []
    seen: list[tuple[int, int]] = []
    runs = [lambda n=n: order.append(n) for n in range(3)]
    found = latencies(runs, lambda done, total: seen.append((done, total)), least=7, budget=60.0)
    assert order == [0, 1, 2, 0, 1, 2, 0]
    assert len(found) == 7
    assert seen == [(done, 7) for done in range(1, 8)]
    assert len(latencies(runs, lambda *_: None, least=100, budget=0.0)) == 3
    assert len(latencies(runs, lambda *_: None, least=2, budget=60.0)) == 3


def test_progress_tells_of_every_step() -> None:
    told: dict[str, list[tuple[int, int]]] = {}
    bench(
        "logmel",
        clip_seconds=0.5,
        clips=2,
        progress=lambda step: lambda *now: told.setdefault(step, []).append(now),
    )
    assert len(told) == 2
    for steps in told.values():
        done, total = steps[-1]
        assert done == total


def test_a_process_is_not_charged_for_its_parents_memory() -> None:
    if not Path("/proc/self/status").is_file():
        pytest.skip("only Linux tells apart")
    kept = np.ones(40_000_000)
    program = "from firstshot.deploy.timing import peak_memory; print(peak_memory())"
    assert 5 < float(run_fresh(program, "tell its memory")) < 200
    assert kept.size == 40_000_000


def test_memory_is_in_megabytes() -> None:
    if sys.platform == "win32":
        pytest.skip("Windows does not tell")
    before = peak_memory()
    kept = np.ones(40_000_000)
    after = peak_memory()
    assert before is not None
    assert after is not None
    assert after > 300 > 0
    assert kept.size == 40_000_000


def test_every_geometry_can_be_counted_without_its_head() -> None:
    for one in (spec.geometry for spec in SPECS.values()):
        spec: Any = type("Spec", (), {"geometry": one})()
        encoder: Any = type("Encoder", (), {"spec": spec})()
        whole = one.macs(160000, attention=True)
        counted = benchmark._true_macs(encoder, (one.depth,), 160000)
        assert counted is not None
        assert 0.98 * whole < counted <= whole
    assert isinstance(BenchReport.__doc__, str)
