import dataclasses
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from firstshot.dcase.data.training_clips import list_training_clips  # noqa: E402
from firstshot.disk.caches import pack_arrays, unpack_arrays  # noqa: E402
from firstshot.encoders.specs.trained import trained_spec  # noqa: E402
from firstshot.errors import FirstshotWarning, OutputError, ParameterError  # noqa: E402
from firstshot.training.batches import Batches  # noqa: E402
from firstshot.training.classes import classify_clips  # noqa: E402
from firstshot.training.clips import load_clips, window_samples  # noqa: E402
from firstshot.training.seeds import make_plan, train_seeds  # noqa: E402
from firstshot.training.settings import LossSettings, make_settings  # noqa: E402
from firstshot.training.training import checkpoint_name, train  # noqa: E402

WINDOW = 8000


def batches_of(loaded, recipe="tiny", seed=0, **changes):
    settings = make_settings(recipe, **{"epochs": 2, "batch": 8} | changes)
    classes = classify_clips(loaded, None)
    return Batches(loaded.waveforms, classes, trained_spec(recipe, WINDOW), settings, seed)


def state_of(trained):
    return {name: tensor.numpy() for name, tensor in trained.network.state_dict().items()}


def assert_same(one, other):
    """Two trainings agree to the last bit."""
    states = state_of(one), state_of(other)
    assert states[0].keys() == states[1].keys()
    for name, array in states[0].items():
        np.testing.assert_array_equal(array, states[1][name], err_msg=name)
    assert [(e.loss, e.found) for e in one.epochs] == [(e.loss, e.found) for e in other.epochs]


@pytest.mark.parametrize("recipe", ["spec", "fmlp", "tiny", "cnn"])
def test_a_recipe_learns_to_tell_two_machines_apart(loaded, recipe):
    trained = train(batches_of(loaded, recipe, epochs=8, learning_rate=3e-3))
    assert trained.epochs[-1].loss < trained.epochs[0].loss
    assert not trained.network.training


def test_one_seed_gives_the_same_bits_and_another_seed_others(loaded):
    # fmlp leaves out random values, which must come from the seed as well
    one = train(batches_of(loaded, "fmlp"))
    assert_same(one, train(batches_of(loaded, "fmlp")))
    other = train(batches_of(loaded, "fmlp", seed=1))
    assert not np.array_equal(state_of(one)["steps.2.weight"], state_of(other)["steps.2.weight"])


def test_training_leaves_torchs_own_generator_as_it_was(loaded):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(batches_of(loaded, epochs=1))
    assert torch.equal(torch.rand(3), expected)


def test_an_untrained_network_has_the_statistics_of_its_clips(loaded):
    untrained = train(batches_of(loaded, epochs=0))
    means = state_of(untrained)["input_norm.running_mean"]
    assert untrained.epochs == ()
    assert np.abs(means).max() > 0.1
    assert int(untrained.network.input_norm.num_batches_tracked) == 3 * 2


def test_a_training_goes_on_from_its_checkpoint_to_the_same_bits(loaded, tmp_path):
    whole = train(batches_of(loaded, "fmlp", epochs=3))
    path = tmp_path / "x.safetensors"

    def kill(epoch):
        if epoch.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(batches_of(loaded, "fmlp", epochs=3), checkpoint=path, on_epoch=kill)
    seen = []
    resumed = train(
        batches_of(loaded, "fmlp", epochs=3),
        checkpoint=path,
        on_epoch=lambda epoch: seen.append(epoch.number),
    )
    assert seen == [3]
    assert_same(resumed, whole)


def test_what_decides_the_numbers_decides_the_name_of_the_checkpoint(loaded):
    names = {
        checkpoint_name(batches, loaded.digests)
        for batches in (
            batches_of(loaded),
            batches_of(loaded, "spec"),
            batches_of(loaded, seed=1),
            batches_of(loaded, epochs=3),
            batches_of(loaded, loss=LossSettings("adacos")),
        )
    }
    names.add(checkpoint_name(batches_of(loaded), ["other", *loaded.digests[1:]]))
    names.add(checkpoint_name(batches_of(loaded), loaded.digests, "cuda:0"))
    assert len(names) == 7


def without(arrays, name):
    return {key: array for key, array in arrays.items() if key != name}


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda a: without(a, "network.product.weight"), "does not hold the arrays of one"),
        (lambda a: without(a, "adam.0.step"), "does not hold the arrays of one"),
        (lambda a: a | {"loss.centres": a["loss.centres"] * np.nan}, "centres is not finite"),
        (lambda a: a | {"history": np.ones((9, 2))}, "9 epochs of 2"),
    ],
)
def test_a_checkpoint_of_something_else_is_set_aside_and_training_starts_again(
    loaded, tmp_path, damage, reason
):
    path = tmp_path / "x.safetensors"
    whole = train(batches_of(loaded), checkpoint=path)
    arrays = damage(unpack_arrays("x", path.read_bytes()))
    path.write_bytes(pack_arrays("x", arrays))
    with pytest.warns(FirstshotWarning, match=reason):
        again = train(batches_of(loaded), checkpoint=path)
    assert_same(again, whole)


def test_a_checkpoint_that_cannot_be_written_is_named(loaded, tmp_path):
    (tmp_path / "full").write_text("")
    with pytest.raises(OutputError, match=r"full/x.safetensors: cannot be written"):
        train(batches_of(loaded), checkpoint=tmp_path / "full" / "x.safetensors")


def test_a_loss_that_is_not_finite_stops_with_the_step(loaded):
    batches = batches_of(loaded)
    silent = dataclasses.replace(
        batches, waveforms=(np.full(9600, np.nan, np.float32), *batches.waveforms[1:])
    )
    with pytest.raises(ParameterError, match=r"stopped at step [12]: the loss is nan; choose a"):
        train(silent)


def test_weights_that_are_not_finite_after_the_last_step_are_not_kept(
    loaded, tmp_path, monkeypatch
):
    path = tmp_path / "x.safetensors"

    def spoil(self, *args, **kwargs):
        with torch.no_grad():
            self.param_groups[0]["params"][0].fill_(float("inf"))

    monkeypatch.setattr(torch.optim.AdamW, "step", spoil)
    with pytest.raises(ParameterError, match=r"step 1, the end of epoch 1: network.* no longer"):
        train(batches_of(loaded, batch=16, epochs=1), checkpoint=path)
    assert not path.exists()


def test_a_scale_that_leaves_all_bounds_stops_with_the_step(loaded, monkeypatch):
    monkeypatch.setattr("firstshot.training.training.MOST_SCALE", 3.0)
    settings = LossSettings(dynamic=True)
    with pytest.raises(
        ParameterError, match=r"step 1: the scale of the loss has grown to .* above 3"
    ):
        train(batches_of(loaded, loss=settings))


def test_fewer_than_five_clips_are_refused(loaded):
    few = dataclasses.replace(batches_of(loaded), waveforms=loaded.waveforms[:4])
    with pytest.raises(ParameterError, match="4 clips are too few"):
        train(few)


def test_fixed_centres_stay_where_they_began(loaded, tmp_path):
    path = tmp_path / "x.safetensors"
    settings = LossSettings(trainable=False)
    train(batches_of(loaded, loss=settings, epochs=1), checkpoint=path)
    first = unpack_arrays("x", path.read_bytes())["loss.centres"]
    train(batches_of(loaded, loss=settings, epochs=3), checkpoint=tmp_path / "y.safetensors")
    last = unpack_arrays("y", (tmp_path / "y.safetensors").read_bytes())["loss.centres"]
    np.testing.assert_array_equal(first, last)


def test_the_window_is_the_shortest_clip_between_one_and_two_seconds():
    def clips(*seconds):
        return [np.zeros(round(16000 * s), np.float32) for s in seconds]

    assert window_samples(clips(1.3, 5)) == 20800
    assert window_samples(clips(0.4, 5)) == 16000
    assert window_samples(clips(10, 10)) == 32000
    assert window_samples(clips(10), 0.5) == 8000


def test_a_finished_training_leaves_its_file_and_no_checkpoint(loaded, tmp_path):
    plan = make_plan(loaded, make_settings("tiny", epochs=1, window_seconds=0.5))
    runs = train_seeds(plan, [3, 4], tmp_path / "a.safetensors", checkpoints=tmp_path / "kept")
    assert [run.path.name for run in runs] == ["a_seed3.safetensors", "a_seed4.safetensors"]
    assert all(run.path.is_file() for run in runs)
    assert list((tmp_path / "kept").iterdir()) == []


def test_a_kill_in_the_second_of_two_trainings_loses_nothing_of_the_first(loaded, tmp_path):
    plan = make_plan(loaded, make_settings("tiny", epochs=2, window_seconds=0.5))
    kept, seen = tmp_path / "kept", []

    def kill(seed, epoch):
        if seed == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_seeds(plan, [0, 1], tmp_path / "a.safetensors", checkpoints=kept, on_epoch=kill)
    assert not list(tmp_path.glob("a*"))

    def tell(seed, epoch):
        seen.append((seed, epoch.number))

    train_seeds(plan, [0, 1], tmp_path / "a.safetensors", checkpoints=kept, on_epoch=tell)
    assert seen == [(1, 2)]
    assert len(list(tmp_path.glob("a*"))) == 2


def test_a_training_that_is_killed_goes_on_to_the_same_bytes(data_root, tmp_path):
    settings = make_settings("tiny", epochs=200, window_seconds=0.5)
    plan = make_plan(load_clips(list_training_clips([data_root])), settings)
    kept, seen = tmp_path / "cache" / "embeddings" / "training", []
    command = [sys.executable, "-m", "firstshot", "train", str(data_root), "--recipe", "tiny"]
    options = ["--window", "0.5", "--epochs", "200", "-o", str(tmp_path / "b.safetensors")]
    killed = subprocess.Popen(
        [*command, *options],
        env=os.environ | {"FIRSTSHOT_CACHE": str(tmp_path / "cache")},
        stderr=subprocess.DEVNULL,
    )
    limit = time.monotonic() + 300
    while not list(kept.glob("[!.]*.safetensors")) and time.monotonic() < limit:
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "b.safetensors").exists()

    def tell(seed, epoch):
        seen.append(epoch.number)

    train_seeds(plan, [0], tmp_path / "b.safetensors", checkpoints=kept, on_epoch=tell)
    train_seeds(plan, [0], tmp_path / "a.safetensors")
    assert seen[0] > 1
    assert (tmp_path / "b.safetensors").read_bytes() == (tmp_path / "a.safetensors").read_bytes()
