"""A runtime that computes an encoder wrongly is noticed before it is used, and never picked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from tests.encoders import official_files as official  # noqa: E402

from firstshot.encoders import load_encoder  # noqa: E402
from firstshot.encoders.pretrained_encoder import PretrainedEncoder  # noqa: E402
from firstshot.encoders.runtimes import auto as runtime_choice  # noqa: E402
from firstshot.encoders.runtimes import with_runtime as runtime  # noqa: E402
from firstshot.encoders.runtimes.check import (  # noqa: E402
    ERRORS,
    check_runtime,
    probe_spectrogram,
    runtime_error,
)
from firstshot.encoders.runtimes.measured import keep_measured, measured_file, read_measured  # noqa: E402
from firstshot.encoders.runtimes.with_runtime import with_runtime  # noqa: E402
from firstshot.errors import ParameterError  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:m2d_clap:firstshot.errors.FirstshotWarning")
Spoil = Callable[[np.ndarray], np.ndarray]


@pytest.fixture
def encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PretrainedEncoder]:
    official.use_mini(monkeypatch, tmp_path / "cache")
    found = load_encoder("ced_tiny", weights=official.write("ced_tiny", tmp_path))
    assert isinstance(found, PretrainedEncoder)
    yield found


class Wrong:
    """A network that is wrong on purpose: torch's numbers, spoiled."""

    runtime = "openvino"

    def __init__(self, network: Any, layers: tuple[int, ...], spoil: Spoil) -> None:
        self.network, self.wanted, self.spoil = network, layers, spoil
        self.runs = 0

    def run(self, spectrograms: np.ndarray) -> list[np.ndarray]:
        self.runs += 1
        return [self.spoil(x) for x in self.network.tokens(spectrograms, self.wanted)]

    def close(self) -> None:
        pass


def scaled(by: float) -> Spoil:
    return lambda tokens: tokens * np.float32(by)


def test_the_error_is_the_relative_l2_of_the_worst_layer(encoder: PretrainedEncoder) -> None:
    def second_layer_wrong(spectrograms: np.ndarray) -> list[np.ndarray]:
        first, second = encoder.network.tokens(spectrograms, (1, 2))
        return [first, 1.25 * second]

    found = runtime_error(encoder, (2, 1), "openvino", "bf16", second_layer_wrong)
    assert found == pytest.approx(0.25, rel=1e-5)
    assert (
        runtime_error(encoder, (1,), "onnx", "fp32", Wrong(encoder.network, (1,), scaled(1)).run)
        == 0
    )


@pytest.mark.parametrize(("precision", "bound"), [("fp32", 1e-5), ("fp16", 1e-3), ("bf16", 1e-2)])
def test_what_exceeds_its_bound_is_refused_with_the_numbers(
    encoder: PretrainedEncoder, precision: str, bound: float
) -> None:
    within, beyond = (
        Wrong(encoder.network, (1, 2), scaled(1 + share * bound)) for share in (0.8, 1.3)
    )
    check_runtime(encoder, (1, 2), "openvino", precision, within.run)
    measured_file(ERRORS).unlink()
    message = rf"runtime openvino in {precision}: .* ced_tiny wrongly .*error [\d.e-]+ .* {bound:g}"
    with pytest.raises(ParameterError, match=message):
        check_runtime(encoder, (1, 2), "openvino", precision, beyond.run)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(encoder: PretrainedEncoder, value: float) -> None:
    with pytest.raises(ParameterError, match=r"relative error 1e\+09"):
        check_runtime(
            encoder, (1,), "openvino", "bf16", Wrong(encoder.network, (1,), scaled(value)).run
        )
    with pytest.raises(
        ParameterError, match=r"relative error 1e\+09"
    ):  # as it is kept in the cache
        check_runtime(
            encoder, (1,), "openvino", "bf16", Wrong(encoder.network, (1,), scaled(1)).run
        )


def test_a_network_is_measured_once_for_its_weights_layers_and_precision(
    encoder: PretrainedEncoder,
) -> None:
    network = Wrong(encoder.network, (1,), scaled(1))
    for _ in range(3):
        check_runtime(encoder, (1,), "openvino", "bf16", network.run)
    assert network.runs == 1
    check_runtime(encoder, (1,), "openvino", "fp16", network.run)
    assert network.runs == 2
    encoder.network.weights_hash = "of other values"  # type: ignore[attr-defined]
    check_runtime(encoder, (1,), "openvino", "fp16", network.run)
    assert network.runs == 3
    values = [
        json.dumps(dict.fromkeys(read_measured(ERRORS), x)) for x in ("0", float("nan"), -1.0)
    ]
    for damaged in ("{", "[]", *values):
        before = network.runs
        measured_file(ERRORS).write_text(damaged)
        check_runtime(encoder, (1,), "openvino", "fp16", network.run)
        assert network.runs == before + 1


def test_a_wrong_network_is_not_run(
    encoder: PretrainedEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compile_wrong(network: Any, layers: tuple[int, ...], *_: Any) -> Wrong:
        return Wrong(network, layers, scaled(1.4))

    monkeypatch.setattr(runtime, "compile_graph", compile_wrong)
    with pytest.raises(ParameterError, match=r"relative error 0\.4 on one clip"):
        with_runtime(encoder, "openvino", "bf16", layers=(1, 2))
    late = with_runtime(encoder, "openvino", "bf16")
    with pytest.raises(ParameterError, match="choose fp32"):
        late.embed(np.zeros((1, 16000), np.float32))


def test_auto_never_picks_a_wrong_network(
    encoder: PretrainedEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wrong one is by far the fastest; what is picked is the fastest of the others."""
    compiled = []

    def compile_one(
        network: Any, layers: tuple[int, ...], runtime: str, precision: str, *_: Any
    ) -> Wrong:
        compiled.append((runtime, precision))
        return Wrong(network, layers, scaled(1.4 if precision == "bf16" else 1.0))

    seconds = {("openvino", "bf16"): 0.1, ("openvino", "fp32"): 1.0, ("torch", "fp32"): 3.0}
    for module in (runtime, runtime_choice):
        monkeypatch.setattr(module, "compile_graph", compile_one)
    monkeypatch.setattr(runtime_choice, "list_candidates", lambda *_: list(seconds))
    monkeypatch.setattr(
        runtime_choice, "probe", lambda _, candidates, __: {c: seconds[c] for c in candidates}
    )
    for _ in range(2):
        picked = runtime_choice.choose(encoder, threads=1)
        assert (picked.runtime, picked.precision) == ("openvino", "fp32")
    assert compiled.count(("openvino", "bf16")) == 1
    picked = with_runtime(encoder, layers=(1,))
    assert (picked.runtime, picked.precision) == ("openvino", "fp32")  # type: ignore[attr-defined]


def test_torch_in_reduced_precision_is_checked_too(
    tmp_path: Path, encoder: PretrainedEncoder
) -> None:
    load_encoder("ced_tiny", official.write("ced_tiny", tmp_path), dtype="bfloat16")
    ((key, error),) = read_measured(ERRORS).items()
    assert 1e-4 < error < 1e-2
    keep_measured(ERRORS, key, 0.5)  # as on a processor that computes bf16 wrongly
    for settings in ({"dtype": "bfloat16"}, {"runtime": "torch", "precision": "bf16"}):
        with pytest.raises(ParameterError, match=r"runtime torch in bf16: .*error 0\.5 "):
            load_encoder("ced_tiny", official.write("ced_tiny", tmp_path), **settings)


def test_a_network_that_lacks_the_default_layers_is_checked_at_its_last(
    encoder: PretrainedEncoder,
) -> None:
    encoder.spec = replace(encoder.spec, default_layers=(7, 10))  # type: ignore[type-var]
    other = with_runtime(encoder, "torch", "bf16")
    assert len(other.embed(np.zeros((1, 16000), np.float32), layers=(1, 2))) == 2
    ((key, _),) = read_measured(ERRORS).items()
    assert json.loads(key)[-1] == [2]


def test_an_encoder_that_takes_pieces_is_checked_on_one(
    tmp_path: Path, encoder: PretrainedEncoder
) -> None:
    pytest.importorskip("onnxruntime")
    m2d = load_encoder("m2d_clap", official.write("m2d_clap", tmp_path))
    assert isinstance(m2d, PretrainedEncoder)
    assert probe_spectrogram(m2d).shape[1] == m2d.spec.geometry.piece_frames  # type: ignore[attr-defined]
    with_runtime(m2d, "onnx", "fp32", layers=(1, 2))
    (error,) = read_measured(ERRORS).values()
    assert 0 < error < 1e-6


def test_openvino_in_bf16_is_right_or_refused_for_narrow_groups(encoder: PretrainedEncoder) -> None:
    """Groups of 12 and 8 channels: wrong by 0.3 to 0.5 with AMX, right elsewhere."""
    pytest.importorskip("openvino")
    from firstshot.encoders.runtimes.openvino import openvino_precisions

    if "bf16" not in openvino_precisions():
        pytest.skip("this processor has no bf16")
    clips = [0.1 * np.random.default_rng(5).standard_normal(48000).astype(np.float32)]
    for groups in (4, 6):
        beats = official.sixteen_wide_beats(groups)
        try:
            found = with_runtime(beats, "openvino", "bf16", layers=(1, 2)).embed(clips)
        except ParameterError as error:
            assert "choose fp32" in str(error)
        else:
            for layer, expected in zip(found, beats.embed(clips), strict=True):
                assert np.linalg.norm(layer - expected) < 1e-2 * np.linalg.norm(expected)
