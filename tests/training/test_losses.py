"""The losses against numbers that plain loops computed in float64, and against what must hold."""

import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from firstshot.errors import ParameterError  # noqa: E402
from firstshot.training.losses import AngularLoss  # noqa: E402
from firstshot.training.settings import LossSettings  # noqa: E402

GOLDEN = Path(__file__).resolve().parents[2] / ".." / "shared" / "golden" / "losses"
NAMES = {
    "adacos": ("adacos", 0),
    "scadacos": ("sub_cluster_adacos", 3),
    "adaproj": ("adaproj", 2),
    "arcface": ("arcface", 0),
}


@pytest.fixture(scope="module")
def golden():
    path = GOLDEN / "golden_losses.npz"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    return np.load(path)


def make(name, centres, *, per_class=0, dynamic=False, classes=4):
    loss = AngularLoss(
        classes, centres.shape[1], LossSettings(name, dynamic=dynamic, per_class=per_class)
    ).double()
    with torch.no_grad():
        loss.centres.copy_(torch.from_numpy(centres))
    return loss


def of_golden(golden, kind, labels, clips="x"):
    short = kind.removesuffix("_fixed").removesuffix("_dynamic")
    name, per_class = NAMES[short]
    centres = golden["W_adacos" if short == "arcface" else f"W_{short}"]
    loss = make(name, centres, per_class=per_class, dynamic=kind.endswith("dynamic"))
    x = torch.from_numpy(golden[clips]).requires_grad_()
    value = loss(x, torch.from_numpy(golden[f"y_{labels}"]))
    value.backward()
    return loss, x, value


@pytest.mark.parametrize("labels", ["hard", "mixed"])
@pytest.mark.parametrize(
    "kind",
    [
        *("adacos_fixed", "adacos_dynamic", "scadacos_fixed", "scadacos_dynamic"),
        *("adaproj_fixed", "arcface"),
    ],
)
def test_losses_scales_and_gradients_are_those_of_plain_loops(golden, kind, labels):
    loss, x, value = of_golden(golden, kind, labels)
    key = f"{kind}_{labels}"
    assert value.item() == pytest.approx(float(golden[f"{key}_loss"]), abs=1e-9)
    assert loss.scale.item() == pytest.approx(float(golden[f"{key}_scale"]), abs=1e-9)
    np.testing.assert_allclose(x.grad.numpy(), golden[f"{key}_gx"], atol=1e-6)
    np.testing.assert_allclose(loss.centres.grad.numpy(), golden[f"{key}_gw"], atol=1e-6)


@pytest.mark.parametrize("labels", ["hard", "mixed"])
@pytest.mark.parametrize("kind", ["adacos_dynamic", "scadacos_dynamic"])
def test_a_dynamic_scale_follows_from_batch_to_batch(golden, kind, labels):
    loss, x, _ = of_golden(golden, kind, labels)
    loss(x, torch.from_numpy(golden[f"y_{labels}"]))
    expected = float(golden[f"{kind}_{labels}_scale_second_step"])
    assert loss.scale.item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("labels", ["hard", "mixed"])
def test_the_median_of_an_even_batch_is_the_mean_of_the_middle_two(golden, labels):
    loss, _, value = of_golden(golden, "adacos_dynamic", labels, clips="x_near")
    key = f"near_adacos_dynamic_{labels}"
    assert loss.scale.item() == pytest.approx(float(golden[f"{key}_scale"]), abs=1e-9)
    assert value.item() == pytest.approx(float(golden[f"{key}_loss"]), abs=1e-9)


def test_the_scale_does_not_follow_outside_of_training(golden):
    loss = make("adacos", golden["W_adacos"], dynamic=True).eval()
    loss(torch.from_numpy(golden["x"]), torch.from_numpy(golden["y_hard"]))
    assert loss.scale.item() == pytest.approx(math.sqrt(2) * math.log(3))


def some_batch(classes=3, seed=0):
    draw = np.random.default_rng(seed)
    labels = np.eye(classes)[draw.integers(classes, size=7)]
    return torch.from_numpy(draw.normal(size=(7, 5))), torch.from_numpy(labels), draw


def test_one_sub_cluster_is_adacos():
    x, y, draw = some_batch()
    centres = draw.normal(size=(3, 5))
    one = make("sub_cluster_adacos", centres, per_class=1, classes=3)
    assert one(x, y).item() == pytest.approx(make("adacos", centres, classes=3)(x, y).item())


def test_a_subspace_of_one_vector_does_not_know_its_sign():
    x, y, draw = some_batch()
    centres = draw.normal(size=(3, 5))
    one = make("adaproj", centres, per_class=1, classes=3)
    turned = make("adaproj", -centres, per_class=1, classes=3)
    assert one(x, y).item() == pytest.approx(turned(x, y).item(), abs=1e-12)


def test_arcface_moves_the_true_class_alone():
    settings = LossSettings("arcface", margin=0.4)
    loss = AngularLoss(2, 2, settings).double()
    with torch.no_grad():
        loss.centres.copy_(torch.eye(2))
    x = torch.tensor([[math.cos(0.3), math.sin(0.3)]], dtype=torch.float64)
    value = loss(x, torch.tensor([[1.0, 0.0]], dtype=torch.float64)).item()
    true, other = 30 * math.cos(0.3 + 0.4), 30 * math.cos(math.pi / 2 - 0.3)
    assert value == pytest.approx(math.log(1 + math.exp(other - true)), abs=1e-9)


def test_fixed_centres_get_no_gradient():
    loss = AngularLoss(3, 5, LossSettings(trainable=False)).double()
    x, y, _ = some_batch()
    x.requires_grad_()
    loss(x, y).backward()
    assert loss.centres.grad is None
    assert x.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["adacos", "adaproj"])
def test_two_classes_have_a_scale_of_one_and_a_gradient(name):
    loss = AngularLoss(2, 5, LossSettings(name)).double()
    x, y, _ = some_batch(classes=2)
    x.requires_grad_()
    loss(x, y).backward()
    assert loss.scale.item() == 1.0
    assert x.grad.abs().sum() > 0


def test_one_class_is_refused():
    with pytest.raises(ParameterError, match="1 class: a network learns by telling classes apart"):
        AngularLoss(1, 5, LossSettings())


@pytest.mark.parametrize("name", ["adacos", "sub_cluster_adacos", "adaproj", "arcface"])
def test_the_most_probable_class_is_that_of_the_nearest_centre(name):
    # The subspaces of several vectors would fill all eight dimensions.
    settings = LossSettings(name, per_class=1 if name == "adaproj" else 0)
    loss = AngularLoss(4, 8, settings, torch.Generator().manual_seed(1)).double()
    centres = loss.centres.detach().view(4, -1, 8)
    assert loss.classify(3 * centres[:, 0]).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("name", ["adaproj", "arcface"])
def test_a_dynamic_scale_is_refused_where_none_is_defined(name):
    with pytest.raises(ParameterError, match="a dynamic scale with the loss"):
        LossSettings(name, dynamic=True)
