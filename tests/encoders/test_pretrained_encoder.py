"""What every encoder run by torch promises, on small networks of both kinds."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr

torch = pytest.importorskip("torch")

from firstshot.encoders.models import build  # noqa: E402
from firstshot.encoders.models.eat import Eat  # noqa: E402
from firstshot.encoders.pretrained_encoder import PretrainedEncoder  # noqa: E402
from firstshot.encoders.protocol import Encoder  # noqa: E402
from firstshot.encoders.runtimes.torch import torch_encoder  # noqa: E402
from firstshot.encoders.specs.beats import spec_from_cfg  # noqa: E402
from firstshot.encoders.specs.eat import EatGeometry, EatSpec  # noqa: E402
from firstshot.errors import ParameterError, SoundError  # noqa: E402

_found = importlib.util.spec_from_file_location(
    "beats_eat_recipe", Path(__file__).with_name("beats_eat_recipe.py")
)
recipe: Any = importlib.util.module_from_spec(_found)
_found.loader.exec_module(recipe)

EAT_MINI = EatSpec(
    "eat", EatGeometry(dim=48, heads=4, depth=2, least_frames=16), default_layers=(1, 2)
)


def golden_encoder(name: str, **settings: Any) -> PretrainedEncoder:
    golden = recipe.Golden(name)
    spec = EAT_MINI
    if name == "beats_mini":
        spec = replace(spec_from_cfg(golden.facts["cfg"]), default_layers=(1, 2))
    return recipe.encoder(spec, golden.state(), **settings)


@pytest.fixture(scope="module", params=["beats_mini", "eat_mini"])
def encoder(request: pytest.FixtureRequest) -> PretrainedEncoder:
    return golden_encoder(request.param)


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray]:
    """Seven clips of three lengths, in no order."""
    ten, six = recipe.clip(0), recipe.clip(2)
    return [six, ten[:20000], ten[:48000], six[:20000], ten[5000:53000], six[9:20009], six[:48000]]


def test_it_is_an_encoder(encoder: PretrainedEncoder) -> None:
    assert isinstance(encoder, Encoder)
    assert (encoder.depth, encoder.dim(1), encoder.sample_rate) == (2, 48, 16000)
    assert encoder.parameters == encoder.spec.geometry.learned_parameters()
    assert encoder.macs(160000) == encoder.spec.geometry.macs(160000)
    assert len(encoder.frequency_bands(1)) == encoder.grid(160000, 1)[1] == 8
    assert not any(values.requires_grad for values in encoder.network.module.parameters())


@pytest.mark.parametrize("micro_batch", [1, 2, 8])
def test_a_clip_has_the_embedding_it_has_alone(
    encoder: PretrainedEncoder, clips: list[np.ndarray], micro_batch: int
) -> None:
    batched = torch_encoder(
        encoder.spec, encoder.network.module, weights_hash="golden", micro_batch=micro_batch
    )
    together = batched.embed(clips)
    for index, clip in enumerate(clips):
        for alone, row in zip(encoder.embed([clip]), together, strict=True):
            np.testing.assert_allclose(row[index], alone[0], atol=1e-6, rtol=0)


def test_on_a_cpu_a_clip_has_the_same_bits_whatever_is_beside_it(
    encoder: PretrainedEncoder, clips: list[np.ndarray]
) -> None:
    together, backwards = encoder.embed(clips), encoder.embed(clips[::-1])
    alone = encoder.embed([clips[3]])
    for one, many, reverse in zip(alone, together, backwards, strict=True):
        np.testing.assert_array_equal(one[0], many[3])
        np.testing.assert_array_equal(many, reverse[::-1])


def test_the_number_of_threads_does_not_matter(
    encoder: PretrainedEncoder, clips: list[np.ndarray]
) -> None:
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(encoder.embed(clips[:3]))
    finally:
        torch.set_num_threads(before)
    for one, two in zip(*results, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6, rtol=0)


def test_no_block_runs_beyond_the_deepest_layer_asked_for(encoder: PretrainedEncoder) -> None:
    network: Any = encoder.network.module
    blocks = network.blocks if isinstance(network, Eat) else network.encoder.layers
    with recipe.outputs_of(blocks) as ran:
        encoder.embed([recipe.clip(2)[:16000]], layers=(1,))
    assert len(ran) == 1
    with recipe.outputs_of(blocks) as ran:
        encoder.embed([recipe.clip(2)[:16000]], layers=(-1,))
    assert len(ran) == 2


def test_layers_come_in_the_order_asked_for(encoder: PretrainedEncoder) -> None:
    clip = [recipe.clip(2)[:16000]]
    every = encoder.layers(clip)
    assert len(every) == 2
    assert every[0].dtype == np.float32
    asked = encoder.layers(clip, layers=(-1, 1))
    for found, number in zip(asked, (1, 0), strict=True):
        np.testing.assert_array_equal(found, every[number])
    for layers in ((0,), (3,), (-3,), (), (1, -2)):
        with pytest.raises(ParameterError, match="layer"):
            encoder.embed(clip, layers=layers)


@pytest.mark.parametrize("pooling", ["temporal", "spectral", "all"])
def test_an_embedding_is_the_mean_over_its_layer_outputs(
    encoder: PretrainedEncoder, pooling: str
) -> None:
    clip = recipe.clip(2)[:32000]
    grids = encoder.layers(clip[None])
    axes = {"temporal": 0, "spectral": 1, "all": (0, 1)}[pooling]
    for embedding, grid in zip(encoder.embed(clip[None], pooling=pooling), grids, strict=True):
        expected = grid[0].astype(np.float64).mean(axis=axes).ravel()
        np.testing.assert_allclose(embedding[0], expected, atol=1e-5)


def test_clips_at_another_rate_are_resampled_first(encoder: PretrainedEncoder) -> None:
    clip = recipe.clip(2)[:48000]
    heard = soxr.resample(clip, 48000, 16000, quality="HQ")
    for found, expected in zip(
        encoder.embed([clip], sample_rate=48000), encoder.embed([heard]), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_clips_too_short_for_one_patch_are_refused_with_the_number_needed(
    encoder: PretrainedEncoder,
) -> None:
    needed = encoder.minimum_samples
    shortest = recipe.clip(2)[:needed]
    assert encoder.layers([shortest])[0].shape == (1, 1, 8, 48)
    with pytest.raises(SoundError, match=f"clip 1 has {needed - 1} .* at least {needed} "):
        encoder.embed([shortest, shortest[1:]])
    with pytest.raises(SoundError, match=f"at least {needed}"):
        encoder.grid(needed - 1, 1)
    with pytest.raises(SoundError, match="clip 0 has"):
        encoder.embed([shortest], sample_rate=32000)


@pytest.mark.parametrize(
    ("waveforms", "reason"),
    [
        ([], "no clips"),
        (np.zeros(16000, dtype=np.float32), "has shape"),
        ([np.zeros((16000, 2), dtype=np.float32)], "has shape"),
        ([np.zeros(16000, dtype=np.int16)], "holds int16"),
        ([np.full(16000, np.nan, dtype=np.float32)], "NaN"),
    ],
)
def test_what_is_no_clip_is_refused(
    encoder: PretrainedEncoder, waveforms: Any, reason: str
) -> None:
    with pytest.raises(SoundError, match=reason):
        encoder.embed(waveforms)


def test_clips_of_different_lengths_share_neither_layers_nor_spectral_pooling(
    encoder: PretrainedEncoder, clips: list[np.ndarray]
) -> None:
    with pytest.raises(SoundError, match="must share a grid"):
        encoder.layers(clips)
    with pytest.raises(SoundError, match="spectral"):
        encoder.embed(clips, pooling="spectral")
    slightly = [clips[2], clips[2][:47990]]
    assert encoder.layers(slightly, layers=(1,))[0].shape[0] == 2


def test_silence_has_finite_embeddings(encoder: PretrainedEncoder) -> None:
    assert all(np.isfinite(row).all() for row in encoder.embed(np.zeros((2, 16000), np.float32)))


@pytest.mark.parametrize(
    ("dtype", "atol"), [("float64", 1e-4), (torch.float16, 0.05), ("bfloat16", 0.4)]
)
def test_other_dtypes_give_float32_close_to_the_usual(
    encoder: PretrainedEncoder, dtype: Any, atol: float
) -> None:
    name = "eat_mini" if isinstance(encoder.network.module, Eat) else "beats_mini"
    other = golden_encoder(name, dtype=dtype)
    clip = [recipe.clip(2)[:32000]]
    for found, expected in zip(other.embed(clip), encoder.embed(clip), strict=True):
        assert found.dtype == np.float32
        assert 0.0 < np.abs(found - expected).max() < atol


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ({"dtype": "int8"}, "dtype"),
        ({"micro_batch": 0}, "micro_batch"),
        ({"last_layer": "best"}, "raw or normed"),
        ({"last_layer": "normed"}, "no norm after its last block"),
    ],
)
def test_unknown_settings_are_refused(setting: dict[str, Any], reason: str) -> None:
    with pytest.raises(ParameterError, match=reason):
        golden_encoder("eat_mini", **setting)


def test_a_last_layer_is_normed_where_asked() -> None:
    class Normed(Eat):
        def final_norm(self, tokens: Any) -> Any:
            return tokens * 2.0

    network = Normed(EAT_MINI)
    clip = [recipe.clip(2)[:16000]]
    raw = torch_encoder(EAT_MINI, network, weights_hash="none").layers(clip)
    normed = torch_encoder(EAT_MINI, network, weights_hash="none", last_layer="normed").layers(clip)
    np.testing.assert_array_equal(normed[0], raw[0])
    np.testing.assert_array_equal(normed[1], raw[1] * 2.0)


def test_the_fingerprint_names_everything_that_decides_the_output() -> None:
    usual = golden_encoder("eat_mini")
    alike = torch_encoder(usual.spec, usual.network.module, weights_hash="golden", micro_batch=3)
    assert usual.fingerprint == alike.fingerprint
    others = [
        torch_encoder(usual.spec, usual.network.module, weights_hash="other"),
        torch_encoder(replace(EAT_MINI, output="ffn"), usual.network.module, weights_hash="golden"),
        torch_encoder(replace(EAT_MINI, name="sslam"), usual.network.module, weights_hash="golden"),
        golden_encoder("eat_mini", dtype="float64"),
    ]
    assert len({usual.fingerprint, *(other.fingerprint for other in others)}) == 5


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_gives_the_same_numbers(encoder: PretrainedEncoder, clips: list[np.ndarray]) -> None:
    name = "eat_mini" if isinstance(encoder.network.module, Eat) else "beats_mini"
    on_gpu = golden_encoder(name, device="cuda")
    assert on_gpu.network.device.type == "cuda"
    for found, expected in zip(on_gpu.embed(clips), encoder.embed(clips), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0)


def test_on_another_device_clips_come_eight_at_a_time_and_networks_take_turns() -> None:
    encoder = torch_encoder(EAT_MINI, build(EAT_MINI), weights_hash="none", device="meta")
    here = torch_encoder(EAT_MINI, build(EAT_MINI), weights_hash="none")
    assert (encoder.micro_batch, here.micro_batch) == (8, 1)
    with encoder.network._one_at_a_time:
        assert not encoder.network._one_at_a_time.acquire(blocking=False)
    with here.network._one_at_a_time, here.network._one_at_a_time:
        pass
