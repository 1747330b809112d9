import numpy as np
import pytest

from firstshot.complexity import complexity

torch = pytest.importorskip("torch")

from firstshot.autoencoder.network import Autoencoder  # noqa: E402


def test_the_network_has_the_tensors_of_the_published_code(golden):
    expected = golden.facts["weights"]
    state = golden.network().state_dict()
    learned = {name: t for name, t in state.items() if not name.endswith("num_batches_tracked")}
    assert learned.keys() == expected.keys()
    for name, tensor in learned.items():
        assert list(tensor.shape) == expected[name]["shape"]
        assert float(tensor.double().sum()) == pytest.approx(expected[name]["sum"], abs=1e-9)


def test_latent_and_reconstruction_are_those_of_the_published_code(golden):
    vectors = torch.from_numpy(golden.vectors(golden.facts["golden_clip"]))
    with torch.inference_mode():
        reconstruction, latent = golden.network()(vectors)
    np.testing.assert_allclose(latent, golden.arrays["latent"], atol=1e-4)
    np.testing.assert_allclose(reconstruction, golden.arrays["recon"], atol=1e-4)


def test_the_network_has_as_many_parameters_as_the_complexity_counts():
    parameters = sum(p.numel() for p in Autoencoder(seed=1).parameters())
    assert parameters == complexity("autoencoder").parameters == 267_928


def test_the_first_weights_are_those_that_torch_draws_after_the_same_seed():
    with torch.random.fork_rng():
        torch.manual_seed(13711)
        expected = [torch.nn.Linear(a, b) for a, b in ((640, 128), (128, 128))]
    layers = [layer for layer in Autoencoder(seed=13711).encoder if hasattr(layer, "in_features")]
    for layer, wanted in zip(layers, expected, strict=False):
        torch.testing.assert_close(layer.weight, wanted.weight, rtol=0, atol=1e-7)
        torch.testing.assert_close(layer.bias, wanted.bias, rtol=0, atol=1e-7)


def test_a_new_network_leaves_the_callers_random_numbers_alone():
    before = torch.random.get_rng_state()
    Autoencoder(seed=5)
    assert torch.equal(before, torch.random.get_rng_state())
