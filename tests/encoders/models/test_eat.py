"""EAT (base, large) and SSLAM against the numbers of the original code."""

from __future__ import annotations

import gc
import importlib.util
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from firstshot.encoders.models import expected_shapes, map_names  # noqa: E402
from firstshot.encoders.models.eat import POSITIONS  # noqa: E402
from firstshot.encoders.runtimes.torch import torch_encoder  # noqa: E402
from firstshot.encoders.specs import eat  # noqa: E402
from firstshot.errors import ParameterError, SoundError, WeightsError  # noqa: E402

_found = importlib.util.spec_from_file_location(
    "beats_eat_recipe", Path(__file__).parents[1] / "beats_eat_recipe.py"
)
recipe: Any = importlib.util.module_from_spec(_found)
_found.loader.exec_module(recipe)

MINI = eat.EatGeometry(dim=48, heads=4, depth=2)
MINI_SPEC = eat.EatSpec("eat", MINI)
SPECS = {"eat_mini": MINI_SPEC, "eat_base": eat.EAT_BASE, "eat_large": eat.EAT_LARGE}
ATOL = 3e-5
FORMATS = ("name", "fairseq_finetuned_name", "fairseq_pretrained_name")


@pytest.fixture(scope="module")
def mini() -> Any:
    return recipe.Golden("eat_mini")


@pytest.fixture(
    scope="module",
    params=["eat_mini", "eat_base", pytest.param("eat_large", marks=pytest.mark.slow)],
)
def model(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Any]]:
    name = request.param
    folder = recipe.MINI if name == "eat_mini" else recipe.FULL
    if not folder.is_dir():
        pytest.skip(f"the full golden numbers are not beside this checkout, in {folder}")
    golden = recipe.Golden(name, folder)
    yield golden, recipe.encoder(SPECS[name], golden.state())
    gc.collect()


def with_spec(model: Any, **changes: Any) -> Any:
    """The same network behind another front-end."""
    encoder = model[1]
    least = changes.pop("least_frames", 1024)
    geometry = replace(encoder.spec.geometry, least_frames=least)
    spec = replace(encoder.spec, geometry=geometry, **changes)
    return torch_encoder(spec, encoder.network.module, weights_hash="golden")


@pytest.mark.parametrize("case", ["c0", "c1", "c2_608", "c2_1024", "c2pad"])
def test_tokens_layers_and_embeddings_equal_the_original(model: Any, case: str) -> None:
    golden = model[0]
    settings: dict[str, Any] = {
        "c2_608": {"least_frames": 16},
        "c2pad": {"fixed_samples": 160000},
    }.get(case, {})
    encoder = with_spec(model, **settings)
    waveform = recipe.clip(int(case[1]))
    network = encoder.network.module
    blocks, branches = list(network.blocks), [block.mlp for block in network.blocks]

    with (
        recipe.outputs_of([network.pre_norm, *blocks]) as entries,
        recipe.outputs_of(branches) as branch,
    ):
        layers = encoder.layers([waveform])

    assert entries[0].shape[1] == golden.facts["tokens_incl_cls"][case]
    assert layers[0].shape[1:3] == encoder.grid(len(waveform), 1)
    recipe.assert_golden(golden, case, entries, layers, ATOL)
    if case == "c0":
        rows, stored = golden.facts["token_index_in_tok"]["c0"], golden.arrays["ffn_c0_tok"]
        found = np.stack([out[0, rows, : stored.shape[2]] for out in branch])
        np.testing.assert_allclose(found, stored, atol=ATOL, rtol=0)
        for out, stats in zip(branch, golden.arrays["ffn_c0_stats"], strict=True):
            recipe.assert_summary(out[0], stats, ATOL)


def test_the_branch_before_the_residual_sum_is_a_setting(mini: Any) -> None:
    network = recipe.encoder(replace(MINI_SPEC, output="ffn"), mini.state())
    layers = network.layers([recipe.clip(0)])
    for grid, stored in zip(layers, mini.arrays["ffn_c0_tok"], strict=True):
        patches = grid.reshape(-1, 48)
        rows = [row - 1 for row in mini.facts["token_index_in_tok"]["c0"][1:]]
        np.testing.assert_allclose(patches[rows], stored[1:], atol=ATOL, rtol=0)
    assert len(network.layers([recipe.clip(0)], layers=(1,))) == 1


def test_patches_and_positions_equal_the_original(model: Any) -> None:
    golden, encoder = model
    spectrogram = torch.from_numpy(encoder.spec.front_end(recipe.clip(0)))
    with torch.inference_mode():
        tokens = encoder.network.module.embed_patches(spectrogram[None])[0].numpy()
    stored = golden.arrays["input_tokens_c0"]
    rows = golden.facts["token_index_in_tok"]["c0"]
    np.testing.assert_allclose(tokens[rows, : stored.shape[1]], stored, atol=ATOL, rtol=0)
    table = eat.position_table(768, 8, encoder.dim(1))
    np.testing.assert_allclose(
        table[golden.facts["positions_rows_index"]],
        golden.arrays["positions_rows"],
        atol=1e-6,
        rtol=0,
    )
    np.testing.assert_array_equal(eat.position_table(38, 8, encoder.dim(1)), table[: 38 * 8])


@pytest.mark.parametrize("eps", ["1e-6", "1e-5"])
def test_the_tagging_head_on_our_cls_gives_the_original_logits(mini: Any, eps: str) -> None:
    state = mini.state()
    encoder = recipe.encoder(MINI_SPEC, state)
    for index in (0, 1):
        with recipe.outputs_of([encoder.network.module.blocks[-1]]) as seen:
            encoder.layers([recipe.clip(index)])
        cls = torch.from_numpy(seen[0][0, 0])
        normed = torch.nn.functional.layer_norm(
            cls, (48,), state["model.fc_norm.weight"], state["model.fc_norm.bias"], float(eps)
        )
        logits = state["model.head.weight"] @ normed + state["model.head.bias"]
        stored = mini.arrays[f"class_logits_eps{eps}_c0_c1"][index]
        np.testing.assert_allclose(logits.numpy(), stored, atol=ATOL, rtol=0)


def test_front_end_pads_with_raw_zeros_and_keeps_the_clip_whole() -> None:
    spectrogram = eat.EAT_BASE.front_end(recipe.clip(2))
    assert spectrogram.shape == (1024, 128)
    np.testing.assert_allclose(spectrogram[598:], 0.467061, atol=1e-6)
    native = replace(eat.EAT_BASE, geometry=replace(eat.EAT_BASE.geometry, least_frames=16))
    assert native.front_end(recipe.clip(2)).shape == (608, 128)
    np.testing.assert_array_equal(native.front_end(recipe.clip(2))[:598], spectrogram[:598])
    silence = eat.EAT_BASE.front_end(np.zeros(160000, dtype=np.float32))
    np.testing.assert_allclose(silence[:998], -1.277565, atol=1e-6)
    assert eat.EAT_BASE.front_end(np.zeros(200000, dtype=np.float32)).shape == (1248, 128)


def test_waveforms_are_padded_or_cut_to_a_fixed_length_where_asked() -> None:
    fixed = replace(eat.EAT_BASE, fixed_samples=160000)
    expected = eat.EAT_BASE.front_end(recipe.padded_clip())
    np.testing.assert_array_equal(fixed.front_end(recipe.clip(2)), expected)
    longer = np.concatenate([recipe.padded_clip(), recipe.clip(0)])
    np.testing.assert_array_equal(fixed.front_end(longer), expected)
    assert fixed.grid(96000, 1) == fixed.grid(320000, 1) == (64, 8)
    assert fixed.macs(96000) == eat.EAT_BASE.macs(160000)


def test_pooling_over_real_patches_leaves_the_padding_out(mini: Any) -> None:
    every = recipe.encoder(MINI_SPEC, mini.state())
    real = recipe.encoder(replace(MINI_SPEC, pooled="real"), mini.state())
    clips = [recipe.clip(2), recipe.clip(0)]
    six, ten = (every.layers([clip], layers=(2,))[0][0] for clip in clips)
    np.testing.assert_allclose(
        real.embed(clips, layers=(2,))[0],
        [six[:37].mean(axis=0).ravel(), ten[:62].mean(axis=0).ravel()],
        atol=1e-6,
    )
    np.testing.assert_allclose(
        every.embed(clips, layers=(2,))[0],
        [six.mean(axis=0).ravel(), ten.mean(axis=0).ravel()],
        atol=1e-6,
    )
    assert real.spec.pooled_time(400, 1) == 1


@pytest.mark.parametrize("naming", FORMATS)
def test_every_official_format_gives_the_same_weights(mini: Any, naming: str) -> None:
    state: dict[str, Any] = mini.state(naming, heads=naming != FORMATS[2])
    if naming == FORMATS[2]:
        state |= {
            "_ema": {"blocks.0.norm1.weight": torch.zeros(48)},
            "modality_encoders.IMAGE.decoder.blocks.0.0.weight": torch.zeros(4),
            "recon_proj.weight": torch.zeros(2),
        }
    wrapped = {"model": state, "cfg": {}, "args": None} if naming != "name" else state
    mapped = map_names(MINI_SPEC, wrapped)
    expected = map_names(MINI_SPEC, mini.state())
    assert mapped.keys() == expected.keys() == expected_shapes(MINI_SPEC).keys()
    assert all(torch.equal(mapped[name], expected[name]) for name in expected)
    assert map_names(MINI_SPEC, expected).keys() == expected.keys()


def test_a_pretrained_checkpoint_without_head_is_complete(mini: Any) -> None:
    state = {
        name: tensor
        for name, tensor in mini.state().items()
        if not name.startswith(("model.head", "model.fc_norm"))
    }
    assert map_names(MINI_SPEC, state).keys() == expected_shapes(MINI_SPEC).keys()


def test_an_older_file_may_hold_the_first_positions_only(mini: Any) -> None:
    state = mini.state()
    name = "model.fixed_positional_encoder.positions"
    state[name] = state[name][:, :512]
    map_names(MINI_SPEC, state)
    state[name] = state[name].flip(2)
    with pytest.raises(WeightsError, match="not the sine-cosine table"):
        map_names(MINI_SPEC, state)


def test_missing_extra_and_misshapen_tensors_are_listed(mini: Any) -> None:
    state = mini.state()
    del state["model.pre_norm.bias"]
    state["model.blocks.2.norm1.bias"] = torch.zeros(48)
    state["model.blocks.0.norm1.bias"] = torch.zeros(47)
    with pytest.raises(WeightsError) as caught:
        map_names(MINI_SPEC, state)
    for part in ("missing 1 (pre_norm.bias)", "extra 1 (blocks.2.norm1.bias)", "misshapen 1"):
        assert part in str(caught.value)


@pytest.mark.parametrize(("name", "spec"), [("base", eat.SSLAM), ("large", eat.EAT_LARGE)])
def test_the_network_has_exactly_the_published_tensors(name: str, spec: eat.EatSpec) -> None:
    if not recipe.FULL.is_dir():
        pytest.skip(f"the full golden numbers are not beside this checkout, in {recipe.FULL}")
    listed = {
        entry["name"].removeprefix("model."): tuple(entry["shape"])
        for entry in recipe.Golden(f"eat_{name}", recipe.FULL).tensors
    }
    assert len(listed) == {"base": 154, "large": 298}[name]
    unused = {"head.weight", "head.bias", "fc_norm.weight", "fc_norm.bias", POSITIONS}
    expected = {name: shape for name, shape in listed.items() if name not in unused}
    assert expected_shapes(spec) == expected
    learned = sum(int(np.prod(shape)) for shape in expected.values())
    assert learned == spec.geometry.learned_parameters()


def test_a_clip_beyond_the_position_table_is_refused() -> None:
    assert eat.EAT_BASE.grid(1966320, 1) == (768, 8)
    with pytest.raises(SoundError, match=r"123\.0 s is too long for eat"):
        eat.EAT_BASE.grid(1968000, 1)


@pytest.mark.parametrize("setting", [{"output": "mlp"}, {"pooled": "most"}, {"fixed_samples": 399}])
def test_unknown_settings_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=next(iter(setting))):
        replace(eat.EAT_BASE, **setting)


def test_another_sample_rate_is_refused_by_the_front_end() -> None:
    with pytest.raises(ParameterError, match="sample_rate 8000"):
        eat.EAT_BASE.front_end(recipe.clip(2), sample_rate=8000)
    with pytest.raises(ParameterError, match="least_frames 1000"):
        eat.EatSpec("eat", replace(eat.EAT_BASE.geometry, least_frames=1000))
