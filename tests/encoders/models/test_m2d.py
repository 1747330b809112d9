import json
import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from tests.encoders import ced_m2d_recipe as recipe

from firstshot.encoders.models import build, expected_shapes, map_names
from firstshot.encoders.runtimes.torch import torch_encoder
from firstshot.encoders.specs.m2d import M2D_CLAP, M2dGeometry, M2dSpec
from firstshot.errors import ParameterError, WeightsError

CI = M2dSpec("m2d_ci_d2", M2dGeometry(dim=32, heads=2, depth=2))
SPECS = {
    "m2d_ci_d2": CI,
    "m2d_clap_1001": M2D_CLAP,
    "m2d_clap_608": M2dSpec("m2d_clap_608", M2dGeometry(piece_frames=608)),
}
CASES = [("m2d_ci_d2", clip) for clip in ("A10", "C6", "D12")]
CASES += [("m2d_clap_1001", clip) for clip in ("A10", "A10+B10", "C6", "C6pad10", "D12")]
CASES += [("m2d_clap_608", "A10")]
MANIFEST = json.loads((recipe.LOCAL / "m2d_manifest_backbone.json").read_text())
WHOLE_FILE = list(
    json.loads((recipe.LOCAL / "m2d_manifest_official_inferred.json").read_text()).values()
)[1]
FINE_TUNED = "module.ar.runtime.backbone."
LOGMEL_ATOL, ATOL, POOLED_ATOL = 1e-4, 5e-5, 2e-5


@cache
def network(name):
    """The network with the fixtures' weights."""
    spec = SPECS[name]
    module = build(spec).eval().requires_grad_(False)
    module.load_state_dict(map_names(spec, recipe.checkpoint(expected_shapes(spec))))
    return module


def logmel(clips):
    return np.stack([M2D_CLAP.front_end(recipe.clip(name)) for name in clips.split("+")])


def assert_layers_equal_golden(stored, key, module, piece, layers):
    """Compare the tokens of one piece, CLS included, after its embedding and after every block."""
    embedded = module.embed_patches(piece)
    outputs, tokens = [], embedded
    for block in module.blocks:
        tokens = block(tokens)
        outputs.append(tokens)
    normed = module.norm(outputs[-1])
    for kind, values in {
        "embed": embedded,
        "layer": torch.stack(outputs),
        "norm": normed,
    }.items():
        np.testing.assert_allclose(
            values[..., ::29, ::31], stored[f"{key}/{kind}_slice"], rtol=0, atol=ATOL
        )
    recipe.assert_statistics(embedded, stored[f"{key}/embed_stats"])
    for found, sums in zip(outputs, stored[f"{key}/layer_stats"], strict=True):
        recipe.assert_statistics(found, sums)
    for ours, whole in zip(layers, outputs, strict=True):
        grid = whole[:, 1:].reshape(len(whole), 5, -1, whole.shape[2]).transpose(1, 2)
        torch.testing.assert_close(ours, grid, rtol=0, atol=ATOL)


def test_the_recipe_makes_the_tensors_that_the_original_saw():
    stored = recipe.golden("m2d_ci_d2")
    shapes = MANIFEST["ci_d2"]
    assert list(shapes) == stored["meta/param_names"].tolist()
    for (name, shape), sums in zip(shapes.items(), stored["meta/param_check"], strict=True):
        np.testing.assert_allclose(recipe.statistics(recipe.tensor_values(name, shape)), sums)


@pytest.mark.parametrize(("name", "clips"), CASES)
def test_every_stored_number_of_the_original_is_met(name, clips):
    stored, module = recipe.golden(name), network(name)
    raw = logmel(clips)
    np.testing.assert_allclose(
        raw.transpose(0, 2, 1)[:, ::9, ::40], stored[f"{clips}/logmel_slice"], atol=LOGMEL_ATOL
    )
    recipe.assert_statistics(raw, stored[f"{clips}/logmel_stats"])
    frames, geometry_ = raw.shape[1], module.geometry
    entering = np.pad(
        (raw + 7.1) / np.float32(4.2), [(0, 0), (0, geometry_.padding(frames)), (0, 0)]
    )
    np.testing.assert_allclose(
        entering.transpose(0, 2, 1)[:, ::9, ::40], stored[f"{clips}/input_slice"], atol=LOGMEL_ATOL
    )
    layers = module.tokens_by_layer(torch.from_numpy(raw), tuple(range(1, geometry_.depth + 1)))
    start = step = 0
    for number, length in enumerate(geometry_.pieces(frames)):
        piece = torch.from_numpy(entering[:, start : start + length].astype(np.float32))
        steps = slice(step, step + length // 16)
        assert_layers_equal_golden(
            stored, f"{clips}/chunk{number}", module, piece, [layer[:, steps] for layer in layers]
        )
        start, step = start + length, steps.stop
    assert_pooled_equal_golden(stored, clips, module, layers)


def assert_pooled_equal_golden(stored, clips, module, layers):
    pooled = torch.stack([layer.mean(1).flatten(1) for layer in layers])
    normed = module.final_norm(layers[-1]).mean(1).flatten(1)
    thin = 1 if f"{clips}/pooled" in stored else 7
    key = f"{clips}/pooled" if thin == 1 else f"{clips}/pooled_slice"
    np.testing.assert_allclose(pooled[..., ::thin], stored[key], rtol=0, atol=POOLED_ATOL)
    np.testing.assert_allclose(
        normed[:, ::thin], stored[f"{clips}/pooled_norm"], rtol=0, atol=POOLED_ATOL
    )
    for found, sums in zip(pooled, stored[f"{clips}/pooled_stats"], strict=True):
        recipe.assert_statistics(found, sums)


def test_float64_meets_the_original_to_rounding():
    stored = recipe.golden("m2d_ci_d2")
    module = build(CI).double()
    module.load_state_dict(map_names(CI, recipe.checkpoint(MANIFEST["ci_d2"])))
    module.norm_stats.copy_(torch.tensor([0.0, 1.0]))  # the stored input is normalised already
    noise = np.random.default_rng(78).standard_normal((1, 80, 304))
    with torch.no_grad():
        layers = module.tokens_by_layer(torch.from_numpy(noise).transpose(1, 2), (1, 2))
        normed = module.final_norm(layers[-1]).mean(1).flatten(1)
    pooled = torch.stack([layer.mean(1).flatten(1) for layer in layers])
    np.testing.assert_allclose(pooled, stored["f64/pooled"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(normed, stored["f64/pooled_norm"], rtol=0, atol=1e-9)


@pytest.mark.parametrize(("last_layer", "key"), [("raw", "pooled"), ("normed", "pooled_norm")])
def test_the_last_layer_is_raw_or_normed_as_set(last_layer, key):
    stored = recipe.golden("m2d_ci_d2")
    encoder = torch_encoder(CI, network("m2d_ci_d2"), weights_hash="made up", last_layer=last_layer)
    clips = [recipe.clip(name) for name in ("A10", "C6", "D12")]
    first, last = encoder.embed(clips, layers=(1, -1))
    for row, name in enumerate(("A10", "C6", "D12")):
        np.testing.assert_allclose(first[row], stored[f"{name}/pooled"][0, 0], atol=POOLED_ATOL)
        np.testing.assert_allclose(
            last[row], stored[f"{name}/{key}"].reshape(-1, 160)[-1], atol=POOLED_ATOL
        )


def test_fixed_samples_pad_the_waveform_as_the_report_s_loader_did():
    fixed = replace(M2D_CLAP, fixed_samples=160000)
    padded = M2D_CLAP.front_end(recipe.clip("C6pad10"))
    np.testing.assert_array_equal(fixed.front_end(recipe.clip("C6")), padded)
    assert fixed.grid(96000, 1) == (62, 5)
    assert fixed.macs(96000) == M2D_CLAP.macs(160000)
    assert fixed.minimum_samples == 1
    with pytest.raises(ParameterError, match="fixed_samples 200: m2d_clap needs at least 201"):
        replace(M2D_CLAP, fixed_samples=200)


def test_another_sample_rate_is_refused():
    with pytest.raises(ParameterError, match="sample_rate 8000: m2d_clap needs 16000 Hz"):
        M2D_CLAP.front_end(np.zeros(8000, dtype=np.float32), 8000)


def test_frequency_rows_start_at_50_hz_and_end_at_8_khz():
    bands = M2D_CLAP.frequency_bands(1)
    assert len(bands) == 5
    assert (round(bands[0][0], 6), round(bands[-1][1], 6)) == (50.0, 8000.0)


def test_a_short_piece_takes_the_first_columns_of_each_row_of_positions():
    module = network("m2d_ci_d2")
    silent = torch.zeros(1, 48, 80)
    table = module.pos_embed[0, 1:].reshape(5, 62, 32)
    expected = table[:, :3] + module.patch_embed.proj.bias
    found = module.embed_patches(silent)[0, 1:].reshape(5, 3, 32)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_no_block_beyond_the_deepest_layer_runs(monkeypatch):
    module = network("m2d_ci_d2")
    spectrogram = torch.from_numpy(logmel("D12"))
    first = module.tokens_by_layer(spectrogram, (1, 2))[0]
    monkeypatch.setattr(module.blocks[1], "forward", lambda x: pytest.fail("block 2 ran"))
    assert torch.equal(module.tokens_by_layer(spectrogram, (1,))[0], first)


# 159,840 samples are 1000 frames: padding to 1008 would leave a second piece with no patch in it.
@pytest.mark.parametrize("samples", [201, 2400, 158720, 158880, 159840, 160000, 160160, 320160])
@pytest.mark.parametrize("piece_frames", [1001, 608])
def test_the_grid_told_beforehand_is_the_grid_of_the_tokens(samples, piece_frames):
    small = M2dGeometry(dim=32, heads=2, depth=1, piece_frames=piece_frames)
    spec = M2dSpec("small", small)
    noise = np.random.default_rng(samples).standard_normal(samples).astype(np.float32)
    with torch.no_grad():
        entering = torch.from_numpy(spec.front_end(noise))[None]
        tokens = build(spec).tokens_by_layer(entering, (1,))[0]
    assert tuple(tokens.shape[1:3]) == spec.grid(samples, 1)
    assert 0 not in small.steps(samples)


def meta(shapes, prefix=""):
    return {f"{prefix}{key}": torch.empty(shape, device="meta") for key, shape in shapes.items()}


BACKBONE = MANIFEST["backbone_80x1001"]
BESIDE = {"audio_proj.0.weight": [768, 3840], "logit_scale": [], "decoder_pred.bias": [256]}


@pytest.mark.parametrize(
    "state",
    [
        meta(WHOLE_FILE),
        {"model": meta(WHOLE_FILE)},
        meta({**BACKBONE, **BESIDE, "mask_token": [1, 1, 512], "target_norm.bias": [768]}),
        {"model": meta({**BACKBONE, **BESIDE}, "backbone.") | meta(BESIDE), "args": None},
        meta(expected_shapes(M2D_CLAP)),
    ],
    ids=["fine-tuned 2024", "wrapped", "not fine-tuned", "2025", "our own"],
)
def test_every_published_layout_gives_the_151_tensors_of_the_backbone(state):
    mapped = map_names(M2D_CLAP, state)
    shapes = {key: tuple(tensor.shape) for key, tensor in mapped.items()}
    assert shapes == {key: tuple(shape) for key, shape in BACKBONE.items()}
    assert len(mapped) == 151


def test_a_file_without_norm_stats_gets_those_of_the_2024_models():
    bare = {key: shape for key, shape in BACKBONE.items() if key != "norm_stats"}
    assert map_names(M2D_CLAP, meta(bare))["norm_stats"].tolist() == pytest.approx([-7.1, 4.2])


def test_a_file_s_own_norm_stats_are_kept():
    state = meta(BACKBONE, FINE_TUNED) | {f"{FINE_TUNED}norm_stats": torch.tensor([-7.3, 4.4])}
    kept = map_names(M2D_CLAP, state)["norm_stats"]
    assert kept.tolist() == pytest.approx([-7.3, 4.4])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norm.bias": "gone"}, "missing 1 (norm.bias)"),
        ({"blocks.12.norm1.bias": [768]}, "extra 1 (blocks.12.norm1.bias)"),
        ({"pos_embed": [1, 191, 768]}, "pos_embed is (1, 191, 768), expected (1, 311, 768)"),
        ({"cls_token": "gone"}, "expected module.ar.runtime.backbone.cls_token or"),
    ],
)
def test_a_missing_extra_or_misshapen_tensor_is_named(changes, message):
    shapes = {key: shape for key, shape in {**BACKBONE, **changes}.items() if shape != "gone"}
    with pytest.raises(WeightsError, match=re.escape(message)):
        map_names(M2D_CLAP, meta(shapes, FINE_TUNED))
