"""Trained networks as encoders: features, sizes, files, graphs."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from firstshot import load_encoder  # noqa: E402
from firstshot.disk.caches import pack_arrays  # noqa: E402
from firstshot.encoders.loading import load_trained  # noqa: E402
from firstshot.encoders.models import build  # noqa: E402
from firstshot.encoders.specs.as_json import read_spec, write_spec  # noqa: E402
from firstshot.encoders.specs.trained import RECIPES, trained_spec  # noqa: E402
from firstshot.encoders.specs.trained_sizes import window_starts  # noqa: E402
from firstshot.encoders.weights.trained_file import pack_trained, read_trained  # noqa: E402
from firstshot.errors import ParameterError, WeightsError  # noqa: E402

PUBLISHED = {"spec": 177_280, "fmlp": 184_320, "cnn": 417_320, "tiny": 141_048}
GIGA_MACS = {"spec": 0.030, "fmlp": 0.002, "cnn": 0.111, "tiny": 0.008}


def noise(seconds, seed=0):
    draw = np.random.default_rng(seed)
    return (0.1 * draw.standard_normal(round(16000 * seconds))).astype(np.float32)


def network_of(recipe, window=16000, seed=0):
    """A network whose running statistics are not those that torch begins with."""
    torch.manual_seed(seed)
    spec = trained_spec(recipe, window)
    network = build(spec)
    with torch.no_grad():
        for shift in range(3):
            features = [spec.features(noise(window / 16000, 9 * shift + i)) for i in range(6)]
            network(torch.from_numpy(np.stack(features)))
    return spec, network.eval()


def write(recipe, folder, name="my.safetensors", window=16000, seed=0):
    spec, network = network_of(recipe, window, seed)
    path = folder / name
    path.write_bytes(pack_trained(spec, network.state_dict(), {"seed": seed}))
    return path


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_network_has_the_size_and_the_cost_that_were_published(recipe):
    spec = trained_spec(recipe)
    learned = sum(values.numel() for values in build(spec).parameters())
    assert learned == spec.geometry.learned_parameters() == PUBLISHED[recipe]
    assert round(spec.macs(160000) / 1e9, 3) == GIGA_MACS[recipe]


@pytest.mark.parametrize("window", [8000, 16000, 25002, 32000])
@pytest.mark.parametrize("recipe", RECIPES)
def test_macs_and_sizes_are_those_of_the_layers_that_run(recipe, window):
    spec = trained_spec(recipe, window)
    network, counted = build(spec).eval(), []

    def count(layer, inputs, output):
        if isinstance(layer, torch.nn.Linear):
            counted.append(layer.weight.numel())
        else:
            counted.append(output[0, 0].numel() * layer.weight.numel())

    for layer in network.modules():
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv1d | torch.nn.Conv2d):
            layer.register_forward_hook(count)
    network(torch.from_numpy(spec.features(noise(window / 16000)))[None])
    assert sum(counted) == spec.geometry.window_macs()


def test_windows_are_spaced_evenly_from_start_to_end():
    assert window_starts(16000, 16000).tolist() == [0]
    assert window_starts(160000, 16000).tolist() == [16000 * i for i in range(10)]
    assert window_starts(24001, 16000).tolist() == [0, 8001]


@pytest.mark.parametrize("recipe", RECIPES)
def test_features_do_not_know_the_level_nor_an_offset(recipe):
    spec, window = trained_spec(recipe), noise(1.0)
    np.testing.assert_allclose(
        spec.features(window), spec.features(4 * window + 0.5), rtol=2e-3, atol=2e-3
    )


def test_the_spectrum_is_that_of_the_window_of_rms_one():
    window = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000).astype(np.float32)
    features = trained_spec("spec").features(window)
    # A sine of RMS 1 has the amplitude sqrt(2): |rfft| is sqrt(2) n / 2 at its bin.
    assert features.argmax() == 999  # bin 1 comes first
    assert features.max() == pytest.approx(np.sqrt(2) / 2 * np.sqrt(16000), rel=1e-4)
    assert features.shape == (8000,)


def test_the_features_of_fmlp_are_log_spectra_at_a_tenth_with_a_floor():
    from firstshot.encoders.spectra import Spectra

    features = trained_spec("fmlp").features(noise(1.0))
    layers = Spectra().layers([noise(1.0)], 16000, [1, 2, 4])
    shape, fine, lines = (layer[0, 0] for layer in layers)
    # The floor of 1e-7 lies far below noise, and deviations are by n - 1 instead of n.
    np.testing.assert_allclose(features[:144:3], shape[:, 0], atol=1e-3)
    np.testing.assert_allclose(features[1:144:3], shape[:, 1] * np.sqrt(97 / 96), rtol=1e-3)
    np.testing.assert_allclose(features[144:400:2], fine[:, 0], atol=1e-3)
    np.testing.assert_allclose(features[400:], lines[:, 0], atol=1e-3)


@pytest.mark.parametrize("recipe", RECIPES)
def test_silence_and_short_clips_have_finite_embeddings(recipe, tmp_path):
    encoder = load_encoder(str(write(recipe, tmp_path)))
    (rows,) = encoder.embed([np.zeros(16000, np.float32), noise(0.1), noise(2.7)])
    assert np.isfinite(rows).all()
    assert rows.shape == (3, encoder.dim(1))


@pytest.mark.parametrize("recipe", RECIPES)
def test_an_embedding_is_the_mean_of_the_unit_vectors_of_its_windows(recipe, tmp_path):
    spec, network = network_of(recipe)
    encoder = load_encoder(str(write(recipe, tmp_path)))
    clip = noise(2.5)
    with torch.no_grad():
        windows = np.stack([spec.features(clip[at : at + 16000]) for at in (0, 12000, 24000)])
        vectors = network(torch.from_numpy(windows)).numpy()
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    (found,) = encoder.embed([clip])
    np.testing.assert_allclose(found[0], units.mean(axis=0), atol=1e-6)
    assert encoder.grid(40000, 1) == (3, 1)


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_other_runtimes_compute_what_torch_does(recipe, runtime, tmp_path):
    pytest.importorskip("onnxruntime" if runtime == "onnx" else "openvino")
    path = write(recipe, tmp_path)
    (expected,) = load_encoder(str(path)).embed([noise(2.5), noise(1.0, 3)])
    (found,) = load_encoder(str(path), runtime=runtime).embed([noise(2.5), noise(1.0, 3)])
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_spec_comes_back_from_its_description(recipe):
    spec = trained_spec(recipe, 12000, "my.safetensors")
    again = read_spec(json.loads(json.dumps(write_spec(spec))))
    assert again == spec
    np.testing.assert_array_equal(again.front_end(noise(2.0)), spec.front_end(noise(2.0)))


def test_equal_networks_have_one_file_and_one_fingerprint_and_others_another(tmp_path):
    folders = [tmp_path / name for name in "abc"]
    for folder in folders:
        folder.mkdir()
    paths = [
        write("tiny", folder, seed=seed) for folder, seed in zip(folders, (0, 0, 1), strict=True)
    ]
    one, same, other = (load_encoder(str(path)).fingerprint for path in paths)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert one == same != other


def test_a_file_tells_how_it_was_trained(tmp_path):
    found = read_trained(write("tiny", tmp_path, window=8000))
    assert found.facts == {"seed": 0}
    assert (found.spec.window, found.spec.name) == (8000, "my.safetensors")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"gone.safetensors: no such file; give a file that"):
        load_encoder(str(tmp_path / "gone.safetensors"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is not whole"),
        (b"<html>", "it is not whole"),
        (pack_arrays("key", {"x": np.zeros(3, np.float32)}), "it was not written by"),
        (
            pack_arrays(
                json.dumps({"kind": "firstshot trained encoder", "schema": 2}),
                {"x": np.zeros(3, np.float32)},
            ),
            "it is of schema 2; update firstshot",
        ),
        (
            pack_arrays(
                json.dumps(
                    {
                        "kind": "firstshot trained encoder",
                        "schema": 1,
                        "window": 16000,
                        "recipe": "tiny",
                        "training": {},
                    }
                ),
                {"x": np.zeros(3, np.float32)},
            ),
            "its arrays are not those of its recipe",
        ),
    ],
)
def test_a_file_of_something_else_is_named_for_what_it_is(content, reason, tmp_path):
    path = tmp_path / "other.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=f"other.safetensors: no trained encoder .*{reason}"):
        load_encoder(str(path))


def test_a_flipped_bit_is_found(tmp_path):
    path = write("fmlp", tmp_path)
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="not what was written"):
        load_encoder(str(path))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"steps.2.weight": lambda x: x * float("nan")}, "weight has values that are not finite"),
        ({"steps.3.running_var": lambda x: x - 9}, "running_var has a variance below 0"),
        ({"steps.2.weight": lambda x: x.double()}, "weight holds float64, expected float32"),
    ],
)
def test_values_that_no_training_gives_are_refused(change, reason, tmp_path):
    spec, network = network_of("fmlp")
    state = {n: change.get(n, lambda x: x)(x) for n, x in network.state_dict().items()}
    path = tmp_path / "odd.safetensors"
    path.write_bytes(pack_trained(spec, state, {}))
    with pytest.raises(WeightsError, match=reason):
        load_encoder(str(path))


def test_a_setting_that_it_does_not_have_is_named(tmp_path):
    path = write("tiny", tmp_path)
    with pytest.raises(
        ParameterError, match=r"'my.safetensors' has no setting 'level'; it has: mic"
    ):
        load_encoder(str(path), level="rms")
    assert load_trained(path, micro_batch=4).micro_batch == 4
