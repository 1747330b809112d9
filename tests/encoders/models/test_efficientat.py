"""EfficientAT: golden layers on the published weights, its grids, its level, its rate."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from firstshot.encoders import load_encoder  # noqa: E402
from firstshot.encoders.models import build, expected_shapes, map_names  # noqa: E402
from firstshot.encoders.runtimes.torch import torch_encoder  # noqa: E402
from firstshot.encoders.specs.efficientat import (  # noqa: E402
    EFFICIENTAT_MN04,
    EFFICIENTAT_MN10,
    EfficientAtGeometry,
)
from firstshot.errors import ParameterError, SoundError  # noqa: E402

SHARED = Path(__file__).resolve().parents[4] / "shared"
WEIGHTS = SHARED / "weights" / "mn04_as_mAP_432.pt"
GOLDEN = SHARED / "golden" / "encoders" / "efficientat" / "efficientat_mn04.npz"
RATE = 32000
SECONDS = (10, 6, 3.1, 0.5)
MINI = replace(EFFICIENTAT_MN04, geometry=EfficientAtGeometry(0.1), default_layers=(3, 9))

needs_weights = pytest.mark.skipif(
    not (WEIGHTS.is_file() and GOLDEN.is_file()),
    reason="the published weights of mn04 and their golden outputs are not beside this checkout",
)


def clip(index):
    t = np.arange(round(SECONDS[index] * RATE)) / RATE
    hertz = (171, 1337 + 190 * index, 3100 - 400 * index, 9000 + 700 * index)
    tones = enumerate(zip((0.21, 0.20, 0.10, 0.04), hertz, strict=True))
    x = sum(a * np.sin(2 * np.pi * f * t + 0.5 * k) for k, (a, f) in tones)
    x *= 1 + 0.5 * np.sin(2 * np.pi * (0.7 + 0.3 * index) * t)
    x += 0.05 * np.random.default_rng(8000 + index).standard_normal(len(t))
    return (x + 0.01 * (index + 1)).astype(np.float32)


def mini(spec=MINI):
    torch.manual_seed(0)
    return torch_encoder(spec, build(spec), weights_hash="made up")


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("FIRSTSHOT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield load_encoder("efficientat_mn04", weights=WEIGHTS)


@needs_weights
@pytest.mark.parametrize("index", range(4))
def test_front_end_and_every_stage_are_the_originals(published, index):
    golden = np.load(GOLDEN)
    log_mel = published.spec.front_end(clip(index))
    stored = golden[f"c{index}/mel_every16frames"].T
    np.testing.assert_allclose(log_mel[::16], stored, rtol=0, atol=1e-4)
    layers = published.layers([clip(index)], RATE)
    for stage, tokens in enumerate(layers):
        name = f"c{index}/stage{stage:02d}"
        mean = golden[f"{name}_time_mean"]
        np.testing.assert_allclose(tokens[0].mean(axis=0).T, mean, rtol=0, atol=1e-4)
        if name in golden:
            np.testing.assert_allclose(tokens[0].transpose(2, 1, 0), golden[name], atol=2e-4)
    embedding = layers[-1][0].mean(axis=(0, 1))
    np.testing.assert_allclose(embedding, golden[f"c{index}/embedding"], rtol=0, atol=1e-4)


@needs_weights
@pytest.mark.parametrize("library", ["onnx", "openvino"])
def test_runtimes_compute_the_published_network(published, library):
    pytest.importorskip({"onnx": "onnxruntime", "openvino": "openvino"}[library])
    from firstshot.encoders.runtimes.with_runtime import with_runtime

    every = tuple(range(1, 18))
    expected = published.embed([clip(1)], RATE, every)
    found = with_runtime(published, library, "fp32").embed([clip(1)], RATE, every)
    for one, other in zip(found, expected, strict=True):
        # torch in float32 is 3e-6 from torch in float64 here: the network magnifies rounding.
        assert np.linalg.norm(one - other) < 1e-5 * np.linalg.norm(other)


@needs_weights
def test_a_precision_that_the_network_does_not_bear_is_refused(published):
    with pytest.raises(ParameterError, match=r"computes efficientat_mn04 wrongly .* choose fp32"):
        load_encoder("efficientat_mn04", weights=WEIGHTS, precision="bf16", runtime="torch")


def test_every_published_name_and_shape_is_expected():
    facts = json.loads(GOLDEN.with_suffix(".json").read_text()) if GOLDEN.is_file() else None
    if facts is None:
        pytest.skip("the golden outputs of mn04 are not beside this checkout")
    state = {name: torch.zeros(shape) for name, shape in facts["state_dict"].items()}
    assert len(state) == 312
    assert map_names(EFFICIENTAT_MN04, state).keys() == expected_shapes(EFFICIENTAT_MN04).keys()
    assert EFFICIENTAT_MN04.geometry.counted_parameters() == facts["parameters"]
    assert EFFICIENTAT_MN04.macs(10 * RATE) == facts["macs_10s"]


def test_the_grid_halves_on_the_way():
    rows = [EFFICIENTAT_MN04.grid(10 * RATE, layer) for layer in range(1, 18)]
    assert [time for time, _ in rows] == [500] * 2 + [250] * 2 + [125] * 3 + [63] * 6 + [32] * 4
    assert [freq for _, freq in rows] == [64] * 2 + [32] * 2 + [16] * 3 + [8] * 6 + [4] * 4
    assert EFFICIENTAT_MN04.grid(RATE // 2, 17) == (2, 4)
    for layer in (1, 3, 9, 17):
        bands = EFFICIENTAT_MN04.frequency_bands(layer)
        assert len(bands) == EFFICIENTAT_MN04.grid(RATE, layer)[1]
        assert bands[0][0] == pytest.approx(0, abs=1e-6)
        assert bands[-1][1] == pytest.approx(15000)


def test_layers_have_the_grid_and_the_size_that_the_spec_says():
    encoder = mini()
    for seconds in (0.5, 1.27, 3.1):
        wave = clip(2)[: round(seconds * RATE)]
        for layer, tokens in enumerate(encoder.layers([wave], RATE), start=1):
            assert tokens.shape == (1, *encoder.grid(len(wave), layer), encoder.dim(layer))


def test_temporal_pooling_keeps_frequency():
    encoder = mini()
    (tokens,) = encoder.layers([clip(3)], RATE, [9])
    (vector,) = encoder.embed([clip(3)], RATE, [9])
    np.testing.assert_array_equal(vector[0], tokens[0].mean(axis=0).reshape(-1))


def test_clips_of_other_rates_are_resampled_to_32_khz():
    import soxr

    encoder = mini()
    assert encoder.sample_rate == RATE
    slow = clip(2)[:16000]
    fast = soxr.resample(slow, 16000, RATE, quality="HQ")
    for a, b in zip(encoder.embed([slow], 16000), encoder.embed([fast], RATE), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ParameterError, match="needs 32000 Hz"):
        encoder.spec.front_end(slow, 16000)


def test_the_shortest_clip_has_514_samples():
    encoder = mini()
    assert encoder.minimum_samples == 514
    assert np.isfinite(encoder.embed([clip(3)[:514]], RATE)[0]).all()
    with pytest.raises(SoundError, match="efficientat_mn04 needs at least 514"):
        encoder.embed([clip(3)[:513]], RATE)


def test_at_level_rms_a_gain_and_an_offset_change_nothing():
    levelled, kept = mini(replace(MINI, level="rms")), mini()
    assert levelled.fingerprint != kept.fingerprint
    wave = clip(3)
    moved = (0.03 * wave + 0.1).astype(np.float32)
    for a, b in zip(levelled.embed([wave], RATE), levelled.embed([moved], RATE), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    centred = wave - wave.mean(dtype=np.float64)
    by_hand = (centred * 0.1 / np.sqrt(np.mean(centred**2))).astype(np.float32)
    for a, b in zip(levelled.embed([wave], RATE), kept.embed([by_hand], RATE), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)
    silence = np.full(RATE, 0.25, dtype=np.float32)
    assert np.isfinite(levelled.embed([silence], RATE)[0]).all()
    with pytest.raises(ParameterError, match="level 'loud' is not known"):
        replace(MINI, level="loud")


def test_nothing_runs_beyond_the_deepest_stage():
    encoder, ran = mini(), []
    for number, stage in enumerate(encoder.network.module.features, start=1):
        stage.register_forward_hook(lambda *_, number=number: ran.append(number))
    encoder.embed([clip(3)], RATE, [4, 7])
    assert ran == list(range(1, 8))


def test_mn10_is_the_same_network_of_another_width():
    geometry = EFFICIENTAT_MN10.geometry
    assert geometry.dim_of(17) == 960
    assert round(geometry.counted_parameters() / 1e6, 2) == 4.88
    assert round(geometry.macs(10 * RATE) / 1e9, 2) == 0.54
    with torch.device("meta"):
        learned = sum(values.numel() for values in build(EFFICIENTAT_MN10).parameters())
    assert learned == geometry.learned_parameters()
