import json
import re
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from tests.encoders import ced_m2d_recipe as recipe

from firstshot.encoders.models import build, expected_shapes, map_names
from firstshot.encoders.runtimes.torch import torch_encoder
from firstshot.encoders.specs.ced import (
    CED_BASE,
    CED_MINI,
    CED_SMALL,
    CED_TINY,
    CedGeometry,
    CedSpec,
)
from firstshot.errors import ParameterError, WeightsError

CI = CedSpec("ced_ci_d2", CedGeometry(dim=32, heads=2, depth=2, classes=11))
SPECS = {"ced_ci_d2": CI} | {spec.name: spec for spec in (CED_TINY, CED_MINI, CED_SMALL, CED_BASE)}
CASES = [("ced_ci_d2", clip) for clip in ("A10", "C6", "D12")]
CASES += [("ced_tiny", clip) for clip in ("A10", "A10+B10", "C6", "C6pad10", "Q6pad10", "D12")]
CASES += [("ced_mini", "A10"), ("ced_small", "A10")]
CASES += [("ced_base", clip) for clip in ("A10", "C6", "D12")]
HF_MANIFEST = json.loads((recipe.LOCAL / "ced_manifest_hf.json").read_text())
ZENODO_MANIFEST = json.loads((recipe.LOCAL / "ced_manifest_zenodo.json").read_text())
MEL_ATOL, ATOL = 5e-4, 5e-5


@cache
def network(name):
    """The network with the fixtures' weights, loaded through the Zenodo names."""
    spec = SPECS[name]
    module = build(spec).eval().requires_grad_(False)
    module.load_state_dict(map_names(spec, recipe.checkpoint(ZENODO_MANIFEST[name])))
    return module


def decibels(clips):
    return np.stack([CED_TINY.front_end(recipe.clip(name)) for name in clips.split("+")])


def as_tokens(grid, pieces):
    """(clips, pieces*time, 4, dim) as the fixtures have it: (pieces*clips, tokens, dim)."""
    clips, time, freq, dim = grid.shape
    by_piece = grid.reshape(clips, pieces, time // pieces, freq, dim).permute(1, 0, 3, 2, 4)
    return by_piece.reshape(pieces * clips, -1, dim)


def assert_equals_golden(stored, clips, spectrogram, module):
    """Compare every stored slice and sum of one set of clips."""
    np.testing.assert_allclose(
        spectrogram.transpose(0, 2, 1)[:, ::9, ::40], stored[f"{clips}/mel_slice"], atol=MEL_ATOL
    )
    recipe.assert_statistics(spectrogram, stored[f"{clips}/mel_stats"])
    entering = torch.from_numpy(spectrogram)
    recipe.assert_statistics(module.init_bn(entering), stored[f"{clips}/bn_stats"])
    layers = module.tokens_by_layer(entering, tuple(range(1, module.geometry.depth + 1)))
    pieces = len(module.geometry.steps(160 * (spectrogram.shape[1] - 1)))
    patches = module.embed_patches(module._cut(module.init_bn(entering)).flatten(0, 1))
    patches = patches.flatten(1, 2).unflatten(0, (-1, pieces)).transpose(0, 1).flatten(0, 1)
    normed = module.final_norm(layers[-1])
    tokens = torch.stack([as_tokens(layer, pieces) for layer in layers])
    for key, values in {
        "embed": patches,
        "layer": tokens,
        "norm": as_tokens(normed, pieces),
    }.items():
        np.testing.assert_allclose(
            values[..., ::29, ::31], stored[f"{clips}/{key}_slice"], rtol=0, atol=ATOL
        )
    recipe.assert_statistics(patches, stored[f"{clips}/embed_stats"])
    for found, sums in zip(tokens, stored[f"{clips}/layer_stats"], strict=True):
        recipe.assert_statistics(found, sums)
    pooled = torch.stack([layer.mean(1).flatten(1) for layer in layers])
    whole = f"{clips}/pooled" in stored
    np.testing.assert_allclose(
        pooled if whole else pooled[..., ::7],
        stored[f"{clips}/pooled" if whole else f"{clips}/pooled_slice"],
        rtol=0,
        atol=ATOL,
    )
    np.testing.assert_allclose(
        normed.mean(1).flatten(1), stored[f"{clips}/pooled_norm"], rtol=0, atol=ATOL
    )


def test_the_recipe_makes_the_clips_and_tensors_that_the_originals_saw():
    check = json.loads((recipe.LOCAL / "recipe_check.json").read_text())
    for name, facts in check["clips"].items():
        assert recipe.clip(name)[:4].tolist() == facts["first4"]
        assert len(recipe.clip(name)) == facts["samples"]
        np.testing.assert_allclose(recipe.statistics(recipe.clip(name)), facts["stats"])
    for title, first in check["tensors"].items():
        name, shape = title.split(" ", 1)
        assert recipe.tensor_values(name, json.loads(shape)).ravel()[:4].tolist() == first


@pytest.mark.parametrize(("name", "clips"), CASES)
def test_every_stored_number_of_the_original_is_met(name, clips):
    assert_equals_golden(recipe.golden(name), clips, decibels(clips), network(name))


def test_a_shared_cut_off_is_what_set_the_original_s_batches_apart():
    # The original cuts at 120 dB below the loudest value of the whole batch, firstshot of a clip.
    stored, clips = recipe.golden("ced_tiny"), "A10+Q6pad10"
    alone = decibels(clips)
    together = np.maximum(alone, alone.max() - np.float32(120))
    assert_equals_golden(stored, clips, together, network("ced_tiny"))
    ours = network("ced_tiny").tokens_by_layer(torch.from_numpy(alone), (12,))[0].mean(1).flatten(1)
    apart = np.abs(ours.numpy() - stored[f"{clips}/pooled"][11]).max(axis=1)
    assert apart[0] < ATOL < 0.05 < apart[1]


def test_float64_meets_the_original_to_rounding():
    stored = recipe.golden("ced_ci_d2")
    module = build(CI).double()
    module.load_state_dict(map_names(CI, recipe.checkpoint(ZENODO_MANIFEST["ced_ci_d2"])))
    noise = np.random.default_rng(77).standard_normal((1, 64, 304))
    spectrogram = torch.from_numpy(-30 + 15 * noise).transpose(1, 2)
    with torch.no_grad():
        layers = module.tokens_by_layer(spectrogram, (1, 2))
        normed = module.final_norm(layers[-1]).mean(1).flatten(1)
    pooled = torch.stack([layer.mean(1).flatten(1) for layer in layers])
    np.testing.assert_allclose(pooled, stored["f64/pooled"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(normed, stored["f64/pooled_norm"], rtol=0, atol=1e-9)


@pytest.mark.parametrize(("last_layer", "key"), [("raw", "pooled"), ("normed", "pooled_norm")])
def test_the_last_layer_is_raw_or_normed_as_set(last_layer, key):
    stored = recipe.golden("ced_ci_d2")
    encoder = torch_encoder(CI, network("ced_ci_d2"), weights_hash="made up", last_layer=last_layer)
    clips = [recipe.clip(name) for name in ("A10", "C6", "D12")]
    first, last = encoder.embed(clips, layers=(1, -1))
    for row, name in enumerate(("A10", "C6", "D12")):
        np.testing.assert_allclose(first[row], stored[f"{name}/pooled"][0, 0], atol=ATOL)
        np.testing.assert_allclose(
            last[row], stored[f"{name}/{key}"].reshape(-1, 128)[-1], atol=ATOL
        )


def test_pieces_of_long_clips_never_mix_in_a_batch():
    noise = np.random.default_rng(3).standard_normal((3, 2100, 64)).astype(np.float32)
    batch = torch.from_numpy(-30 + 15 * noise)
    together = network("ced_ci_d2").tokens_by_layer(batch, (2,))[0]
    assert together.shape == (3, 3 * 63, 4, 32)
    for index in range(3):
        alone = network("ced_ci_d2").tokens_by_layer(batch[index : index + 1], (2,))[0]
        np.testing.assert_allclose(together[index], alone[0], rtol=0, atol=1e-5)


def test_the_last_piece_is_kept_when_the_frames_are_a_multiple_of_1012():
    noise = np.random.default_rng(4).standard_normal((1, 2024, 64)).astype(np.float32)
    module, batch = network("ced_ci_d2"), torch.from_numpy(-30 + 15 * noise)
    whole = module.tokens_by_layer(batch, (2,))[0]
    second = module.tokens_by_layer(batch[:, 1012:], (2,))[0]
    np.testing.assert_allclose(whole[:, 63:], second, rtol=0, atol=1e-5)


def test_no_block_beyond_the_deepest_layer_runs(monkeypatch):
    module = network("ced_ci_d2")
    spectrogram = torch.from_numpy(decibels("C6"))
    first = module.tokens_by_layer(spectrogram, (1, 2))[0]
    monkeypatch.setattr(module.blocks[1], "forward", lambda x: pytest.fail("block 2 ran"))
    assert torch.equal(module.tokens_by_layer(spectrogram, (1,))[0], first)


@pytest.mark.parametrize("samples", [2400, 2559, 96000, 161759, 161760, 161920, 323680, 323840])
def test_the_grid_told_beforehand_is_the_grid_of_the_tokens(samples):
    noise = np.random.default_rng(samples).standard_normal(samples).astype(np.float32)
    tokens = network("ced_ci_d2").tokens_by_layer(torch.from_numpy(CI.front_end(noise))[None], (1,))
    assert tuple(tokens[0].shape[1:3]) == CI.grid(samples, 1)


def test_the_shortest_clip_gives_one_time_step_and_a_shorter_one_none():
    assert CI.grid(CI.minimum_samples, 1) == (1, 4)
    assert CI.grid(CI.minimum_samples - 1, 1) == (0, 4)


def test_frequency_rows_overlap_by_one_triangle_and_end_at_8_khz():
    bands = CED_TINY.frequency_bands(1)
    assert len(bands) == 4
    assert (bands[0][0], round(bands[-1][1], 6)) == (0.0, 8000.0)
    assert all(low < below < high for (_, below), (low, high) in pairwise(bands))


def test_fixed_samples_pad_the_waveform_as_the_report_s_loader_did():
    stored = recipe.golden("ced_tiny")
    fixed = replace(CED_TINY, fixed_samples=160000)
    encoder = torch_encoder(fixed, network("ced_tiny"), weights_hash="made up")
    clips = [recipe.clip("C6"), recipe.clip("C6pad10")]
    six, padded = encoder.embed(clips, layers=(7,))[0]
    np.testing.assert_allclose(six, stored["C6pad10/pooled"][6, 0], rtol=0, atol=ATOL)
    np.testing.assert_array_equal(six, padded)
    assert fixed.grid(96000, 1) == (62, 4)
    assert fixed.macs(96000) == CED_TINY.macs(160000)
    long = recipe.clip("D12")
    np.testing.assert_array_equal(fixed.front_end(long), CED_TINY.front_end(long[:160000]))


def test_real_pooling_leaves_out_the_padding_of_a_last_piece_only():
    real = replace(CI, pooled="real")
    assert real.grid(196800, 1) == CI.grid(196800, 1) == (126, 4)
    assert CI.pooled_time(196800, 1) == 126
    assert real.pooled_time(196800, 1) == 63 + (1231 - 1012) // 16
    assert real.pooled_time(96000, 1) == CI.pooled_time(96000, 1) == 37
    assert real.pooled_time(2023 * 160, 1) == 126  # 2024 frames fill two pieces
    clip = recipe.clip("D12")
    whole = torch_encoder(CI, network("ced_ci_d2"), weights_hash="made up").layers([clip])[1]
    pooled = torch_encoder(real, network("ced_ci_d2"), weights_hash="made up").embed(
        [clip], layers=(2,)
    )
    expected = whole[:, :76].mean(axis=1).reshape(1, -1)
    np.testing.assert_allclose(pooled[0], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pooled": "some"}, "pooled 'some' is not known"),
        ({"fixed_samples": 2399}, "fixed_samples 2399: ced_tiny needs at least 2400"),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused(settings, message):
    with pytest.raises(ParameterError, match=message):
        replace(CED_TINY, **settings)


def test_another_sample_rate_is_refused():
    with pytest.raises(ParameterError, match="sample_rate 44100: ced_tiny needs 16000 Hz"):
        CED_TINY.front_end(np.zeros(44100, dtype=np.float32), 44100)


@pytest.mark.parametrize("name", ["ced_tiny", "ced_mini", "ced_small", "ced_base"])
@pytest.mark.parametrize("source", ["hub", "zenodo", "zenodo in a wrapper", "our own"])
def test_every_published_file_s_names_are_mapped(name, source):
    spec = SPECS[name]
    shapes = {
        "hub": HF_MANIFEST[name.replace("_", "-")],
        "our own": expected_shapes(spec),
    }.get(source, ZENODO_MANIFEST[name])
    state = {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
    mapped = map_names(spec, {"model": state} if "wrapper" in source else state)
    assert {key: tuple(tensor.shape) for key, tensor in mapped.items()} == expected_shapes(spec)


def test_both_published_layouts_put_every_tensor_in_the_same_place():
    shapes = HF_MANIFEST["ced-tiny"]
    hub = {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
    zenodo = {}
    for key, tensor in hub.items():
        plain = key.removeprefix("encoder.").replace("init_bn.", "init_bn.1.")
        zenodo[plain] = tensor
    from_hub, from_zenodo = map_names(CED_TINY, hub), map_names(CED_TINY, zenodo)
    assert from_hub.keys() == from_zenodo.keys()
    assert all(from_hub[key] is from_zenodo[key] for key in from_hub)


def changed(changes):
    shapes = {**HF_MANIFEST["ced-tiny"], **changes}
    return {
        key: torch.empty(shape, device="meta") for key, shape in shapes.items() if shape != "gone"
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder.norm.bias": "gone"}, "missing 1 (norm.bias)"),
        ({"encoder.cls_token": [1]}, "extra 1 (cls_token)"),
        ({"norm.bias": [192]}, "extra 1 (norm.bias (without encoder.))"),
        (
            {"encoder.norm.bias": [256]},
            "misshapen 1 (norm.bias is (256,), expected (192,))",
        ),
    ],
)
def test_a_missing_extra_or_misshapen_tensor_is_named(changes, message):
    with pytest.raises(WeightsError, match=re.escape(message)):
        map_names(CED_TINY, changed(changes))


def test_another_size_of_ced_is_refused_in_one_readable_line():
    state = {
        key: torch.empty(shape, device="meta") for key, shape in HF_MANIFEST["ced-base"].items()
    }
    with pytest.raises(WeightsError, match=r"not those of ced_tiny: misshapen \d+ .*more") as error:
        map_names(CED_TINY, state)
    assert len(str(error.value)) < 600
