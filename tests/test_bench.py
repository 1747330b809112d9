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

from firstshot import bench as benchmark
from firstshot.bench import BenchReport, bench, matrix_peak, peak_memory, start_up
from firstshot.cli.bench import table
from firstshot.encoders import geometry
from firstshot.errors import ParameterError, WeightsError


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(benchmark, "matrix_peak", lambda: 100.0)
    monkeypatch.setenv("FIRSTSHOT_CACHE", str(tmp_path))
    yield


def test_the_numbers_hang_together() -> None:
    report = bench("logmel", clip_seconds=0.5, clips=3)
    assert report.real_time_factor == pytest.approx(0.5 * report.clips_per_second)
    assert 0 < report.latency_p50_ms <= report.latency_p99_ms
    assert (report.runtime, report.precision, report.made_up_weights) == ("numpy", "fp32", False)
    assert report.start_up_seconds > 0.05
    assert json.loads(json.dumps(asdict(report)))["encoder"] == "logmel"


def test_an_encoder_without_weights_here_is_measured_with_made_up_ones() -> None:
    pytest.importorskip("torch")
    report = bench("ced_tiny", runtime="torch", clip_seconds=1.0, clips=2, layers=(1, 2))
    assert report.made_up_weights
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


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ParameterError, match="0 clips"):
        bench("logmel", clips=0)
    with pytest.raises(ParameterError, match="clips of -1"):
        bench("logmel", clip_seconds=-1.0)
    with pytest.raises(ParameterError, match="one runtime, its own"):
        bench("logmel", runtime="onnx")
    with pytest.raises(ParameterError, match="not known"):
        bench("fft")


def test_a_process_that_cannot_start_says_why() -> None:
    with pytest.raises(WeightsError, match=r"could not start the encoder \(.*'fft' is not known"):
        start_up({"name": "fft", "layers": None}, 16000)


def test_the_peak_is_two_operations_a_multiplication(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "seconds", lambda run: 0.5)
    monkeypatch.setattr(benchmark, "PEAK_SIZE", 8)
    assert matrix_peak(0.0) == pytest.approx(2 * 8**3 / 0.5 / 1e9)


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
    for one in geometry.GEOMETRIES.values():
        spec: Any = type("Spec", (), {"geometry": one})()
        encoder: Any = type("Encoder", (), {"spec": spec})()
        whole = one.macs(160000, attention=True)
        counted = benchmark._true_macs(encoder, (one.depth,), 160000)
        assert counted is not None
        assert 0.98 * whole < counted <= whole
    assert isinstance(BenchReport.__doc__, str)
