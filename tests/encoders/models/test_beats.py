"""BEATs against the numbers of the original code."""

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
from firstshot.encoders.runtimes.torch import torch_encoder  # noqa: E402
from firstshot.encoders.specs import beats  # noqa: E402
from firstshot.errors import ParameterError, WeightsError  # noqa: E402

_found = importlib.util.spec_from_file_location(
    "beats_eat_recipe", Path(__file__).parents[1] / "beats_eat_recipe.py"
)
recipe: Any = importlib.util.module_from_spec(_found)
_found.loader.exec_module(recipe)

ATOL = 1e-4


@pytest.fixture(scope="module")
def mini() -> Any:
    return recipe.Golden("beats_mini")


@pytest.fixture(scope="module", params=["beats_mini", "beats_full"])
def model(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Any]]:
    folder = recipe.MINI if request.param == "beats_mini" else recipe.FULL
    if not folder.is_dir():
        pytest.skip(f"the full golden numbers are not beside this checkout, in {folder}")
    golden = recipe.Golden(request.param, folder)
    yield golden, recipe.encoder(beats.spec_from_cfg(golden.facts["cfg"]), golden.state())
    gc.collect()


@pytest.mark.parametrize("case", ["c0", "c1", "c2native", "c2pad"])
def test_tokens_layers_and_embeddings_equal_the_original(model: Any, case: str) -> None:
    golden, encoder = model
    if case == "c2pad":
        spec = replace(encoder.spec, fixed_samples=160000)
        encoder = torch_encoder(spec, encoder.network.module, weights_hash="golden")
    waveform = recipe.clip(int(case[1]))
    stack = encoder.network.module.encoder
    with recipe.outputs_of([stack.layer_norm, *stack.layers]) as entries:
        layers = encoder.layers([waveform])
    assert entries[0].shape[1] == golden.facts["tokens"][case]
    assert layers[0].shape[1:3] == encoder.grid(len(waveform), 1)
    recipe.assert_golden(golden, case, entries, layers, ATOL)


def test_patches_and_projection_equal_the_original(model: Any) -> None:
    golden, encoder = model
    spectrogram = torch.from_numpy(encoder.spec.front_end(recipe.clip(0)))[None]
    network = encoder.network.module
    with recipe.outputs_of([network.patch_embedding]) as patches, torch.inference_mode():
        projected = network.embed_patches(spectrogram)[0].numpy()
    rows = golden.facts["token_index_in_tok"]["c0"]
    patches = patches[0][0].reshape(patches[0].shape[1], -1).T
    for found, name in ((patches, "patch_embed_c0"), (projected, "proj_c0")):
        stored = golden.arrays[name]
        np.testing.assert_allclose(found[rows, : stored.shape[1]], stored, atol=ATOL, rtol=0)


def test_distance_buckets_and_bias_equal_the_original(model: Any) -> None:
    golden, encoder = model
    facts = golden.facts["cfg"]
    buckets = beats.distance_buckets(496, facts["num_buckets"], facts["max_distance"])
    np.testing.assert_array_equal(buckets, golden.arrays["rel_pos_bucket_m495_495"])
    with torch.inference_mode():
        bias = encoder.network.module.encoder.distance_bias(40)[0].numpy()
    np.testing.assert_array_equal(bias, golden.arrays["rel_bias_40x40_head0"])


def test_the_tagging_head_on_our_tokens_gives_the_original_probabilities(model: Any) -> None:
    golden, encoder = model
    values = {entry["name"]: entry for entry in golden.tensors}
    weight, bias = (golden.values(values[f"predictor.{part}"]) for part in ("weight", "bias"))
    for index in (0, 1):
        tokens = encoder.layers([recipe.clip(index)], layers=(-1,))[0].reshape(-1, encoder.dim(1))
        logits = (tokens @ weight.T + bias).mean(axis=0, dtype=np.float64)
        found = 1.0 / (1.0 + np.exp(-logits))
        stored = golden.arrays["class_prob_c0_c1"][index]
        np.testing.assert_allclose(found, stored, atol=ATOL, rtol=0)


def test_the_gate_and_the_bias_follow_their_formula_in_float64(mini: Any) -> None:
    """One attention by loops over heads, queries and keys."""
    encoder = recipe.encoder(beats.spec_from_cfg(mini.facts["cfg"]), mini.state(), dtype="float64")
    attention = encoder.network.module.encoder.layers[1].self_attn
    x = np.random.default_rng(3).standard_normal((24, 48))
    with torch.inference_mode():
        table = encoder.network.module.encoder.distance_bias(24)
        found = attention(torch.from_numpy(x)[None], table)[0].numpy()
    weights = {name: value.numpy() for name, value in attention.state_dict().items()}

    def project(name: str, tokens: np.ndarray) -> np.ndarray:
        return tokens @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    q, k, v = (project(f"{name}_proj", x) for name in "qkv")
    mixed = np.zeros((24, 48))
    for head in range(4):
        part = slice(12 * head, 12 * head + 12)
        for query in range(24):
            eight = project("grep_linear", q[query, part])
            a, b = 1 / (1 + np.exp(-eight[:4].sum())), 1 / (1 + np.exp(-eight[4:].sum()))
            gate = a * (b * weights["grep_a"][0, head, 0, 0] - 1) + 2
            scores = k[:, part] @ q[query, part] / np.sqrt(12)
            scores = np.exp(scores + gate * table[head, query].numpy())
            mixed[query, part] = scores / scores.sum() @ v[:, part]
    np.testing.assert_allclose(found, project("out_proj", mixed), atol=1e-12)


def test_every_norm_has_the_epsilon_of_the_original(mini: Any) -> None:
    # One norm's epsilon alone stays below the golden numbers' tolerance.
    network = recipe.encoder(beats.spec_from_cfg(mini.facts["cfg"]), mini.state()).network.module
    norms = [part for part in network.modules() if isinstance(part, torch.nn.LayerNorm)]
    assert len(norms) == 6
    assert {norm.eps for norm in norms} == {1e-5}


def test_front_end_is_normalised_and_keeps_every_frame() -> None:
    silence = np.zeros(96000, dtype=np.float32)
    spectrogram = beats.BEATS_FT1.front_end(silence)
    assert spectrogram.shape == (598, 128)
    np.testing.assert_allclose(spectrogram, -2.391693, atol=1e-6)
    with pytest.raises(ParameterError, match="sample_rate 44100"):
        beats.BEATS_FT1.front_end(silence, sample_rate=44100)


def test_waveforms_are_padded_or_cut_to_a_fixed_length_where_asked() -> None:
    fixed = replace(beats.BEATS_FT1, fixed_samples=160000)
    expected = beats.BEATS_FT1.front_end(recipe.padded_clip())
    np.testing.assert_array_equal(fixed.front_end(recipe.clip(2)), expected)
    longer = np.concatenate([recipe.padded_clip(), recipe.clip(0)])
    np.testing.assert_array_equal(fixed.front_end(longer), expected)
    assert fixed.grid(96000, 1) == (62, 8)
    assert beats.BEATS_FT1.grid(96000, 1) == (37, 8)
    with pytest.raises(ParameterError, match="fixed_samples 2799"):
        replace(beats.BEATS_FT1, fixed_samples=2799)


def test_the_published_configuration_gives_the_published_network() -> None:
    if not recipe.FULL.is_dir():
        pytest.skip(f"the full golden numbers are not beside this checkout, in {recipe.FULL}")
    golden = recipe.Golden("beats_full", recipe.FULL)
    assert beats.spec_from_cfg(golden.facts["cfg"]) == beats.BEATS_FT1
    listed = {
        entry["name"]: tuple(entry["shape"])
        for entry in golden.tensors
        if "relative_attention_bias" not in entry["name"]
    }
    assert len(golden.tensors) == 252
    expected = {name: shape for name, shape in listed.items() if "predictor" not in name}
    expected["encoder.relative_attention_bias.weight"] = (320, 12)
    assert expected_shapes(beats.BEATS_FT1) == expected
    learned = sum(int(np.prod(shape)) for shape in expected.values())
    assert learned == beats.BEATS_FT1.geometry.learned_parameters()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("layer_norm_first", True),
        ("deep_norm", False),
        ("gru_rel_pos", False),
        ("relative_position_embedding", False),
        ("activation_fn", "relu"),
        ("conv_bias", True),
        ("input_patch_size", 32),
    ],
)
def test_other_variants_are_refused_by_name(mini: Any, key: str, value: object) -> None:
    with pytest.raises(WeightsError, match=f"has {key} {value}, expected"):
        beats.spec_from_cfg(mini.facts["cfg"] | {key: value})


def test_a_configuration_without_a_size_is_refused(mini: Any) -> None:
    cfg = dict(mini.facts["cfg"])
    del cfg["max_distance"]
    with pytest.raises(WeightsError, match="max_distance"):
        beats.spec_from_cfg(cfg)


def test_names_are_mapped_once_and_again_to_the_same(mini: Any) -> None:
    spec = beats.spec_from_cfg(mini.facts["cfg"])
    mapped = map_names(spec, {"model": mini.state(), "cfg": mini.facts["cfg"], "label_dict": {}})
    assert mapped.keys() == expected_shapes(spec).keys()
    again = map_names(spec, mapped)
    assert all(torch.equal(again[name], mapped[name]) for name in mapped)


def test_layers_must_share_one_table_of_biases(mini: Any) -> None:
    spec, name = (
        beats.spec_from_cfg(mini.facts["cfg"]),
        "encoder.layers.1.self_attn.relative_attention_bias.weight",
    )
    state = mini.state()
    state[name] = state[name] + 1e-3
    with pytest.raises(WeightsError, match="one table for all layers"):
        map_names(spec, state)
    del state[name]
    with pytest.raises(WeightsError, match="1 tables"):
        map_names(spec, state)


def test_missing_extra_and_misshapen_tensors_are_listed(mini: Any) -> None:
    state = mini.state()
    del state["layer_norm.bias"]
    state["mask_emb"] = torch.zeros(48)
    state["encoder.layers.0.fc1.bias"] = torch.zeros(95)
    with pytest.raises(WeightsError) as caught:
        map_names(beats.spec_from_cfg(mini.facts["cfg"]), state)
    for part in ("missing 1 (layer_norm.bias)", "extra 1 (mask_emb)", "misshapen 1"):
        assert part in str(caught.value)
