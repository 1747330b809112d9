import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from firstshot.autoencoder.features import join_frames, stack_frames  # noqa: E402
from firstshot.autoencoder.scores import (  # noqa: E402
    invert_covariances,
    released_threshold,
    residual_covariances,
    score_residuals,
)
from firstshot.autoencoder.settings import TrainingSettings  # noqa: E402
from firstshot.autoencoder.training import (  # noqa: E402
    TrainingStoppedError,
    split_vectors,
    train,
)
from firstshot.autoencoder.trials import train_trials  # noqa: E402
from firstshot.disk.caches import pack_arrays, unpack_arrays  # noqa: E402
from firstshot.errors import (  # noqa: E402
    FirstshotWarning,
    OutputError,
    ParameterError,
)
from firstshot.torch_states import one_thread  # noqa: E402

QUICK = TrainingSettings(epochs=4, batch=64)


@pytest.fixture(autouse=True)
def single_thread():
    with one_thread():
        yield


def some_frames(seed=0, clips=6):
    draw = np.random.default_rng(seed)
    lengths = draw.integers(30, 60, size=clips)
    spectrograms = [draw.normal(-15, 6, size=(n, 128)).astype(np.float32) for n in lengths]
    return join_frames(spectrograms, [i % 3 == 2 for i in range(clips)])


def assert_same(one, other):
    """Two trainings agree to the last bit."""
    state = other.network.state_dict()
    for name, tensor in one.network.state_dict().items():
        assert torch.equal(tensor, state[name]), name
    for domain, covariance in one.covariances.items():
        np.testing.assert_array_equal(covariance, other.covariances[domain])
    np.testing.assert_array_equal(one.losses, other.losses)
    np.testing.assert_array_equal(one.batch_losses, other.batch_losses)


def test_training_takes_the_course_of_the_published_code(golden):
    """Other random numbers, the same recipe: losses and thresholds of its five epochs."""
    stored = golden.facts["original_5_epochs"]
    expected = np.array([[float(x) for x in row.split(",")] for row in stored["log"].split()[1:]])
    data = golden.training_frames()
    trained = train(data, stored["seed"], TrainingSettings(epochs=stored["epochs"]))
    np.testing.assert_allclose(trained.losses[:, 0], expected[:, 0], rtol=0.02)
    # Target vectors lose twice as much, and how many of 142 are kept for validation is chance.
    np.testing.assert_allclose(trained.losses[:, 1], expected[:, 1], rtol=0.08)
    drop = trained.losses[0, 0] - trained.losses[-1, 0]
    assert drop == pytest.approx(expected[0, 0] - expected[-1, 0], rel=0.1)
    assert len(trained.batch_losses) == 5 + 1
    threshold = released_threshold(trained.batch_losses)
    assert threshold == pytest.approx(stored["thr_mse"], rel=0.05)
    precisions = invert_covariances(trained.covariances)
    batch_scores = trained.score_batches(data, "mahala", precisions)
    assert len(batch_scores) == 5 + 1
    shape, location, scale = stored["gamma_mahala"]
    assert batch_scores.mean() == pytest.approx(location + shape * scale, rel=0.1)


def test_the_first_step_is_adams_on_the_mean_squared_error_of_the_batch():
    data, settings = some_frames(), TrainingSettings(epochs=1, batch=10_000)
    trained = train(data, 7, settings)
    from firstshot.autoencoder.network import Autoencoder

    network = Autoencoder(7).train()
    fitted, kept = split_vectors(len(data.starts), 7, 0.1)
    rows = np.random.default_rng((7, 1)).permutation(fitted)
    vectors = torch.tensor(stack_frames(data.frames)[data.starts[rows]])
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    loss = ((network(vectors)[0] - vectors) ** 2).mean()
    loss.backward()
    optimizer.step()
    assert trained.losses[0, 0] == pytest.approx(loss.item(), rel=1e-6)
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(trained.network.state_dict()[name], tensor, msg=name)
    network.eval()
    vectors = torch.tensor(stack_frames(data.frames)[data.starts[kept]])
    loss = ((network(vectors)[0] - vectors) ** 2).mean()
    assert trained.losses[0, 1] == pytest.approx(loss.item(), rel=1e-5)


def test_the_covariances_are_those_of_the_training_vectors_alone():
    data, settings = some_frames(), TrainingSettings(epochs=2, batch=10_000)
    trained = train(data, 7, settings)
    fitted, _ = split_vectors(len(data.starts), 7, 0.1)
    vectors = torch.tensor(stack_frames(data.frames)[data.starts[fitted]])
    with torch.inference_mode():
        residuals = (trained.network(vectors)[0] - vectors).numpy()
    expected = residual_covariances([(residuals, data.is_target[fitted])])
    for domain, covariance in trained.covariances.items():
        np.testing.assert_allclose(covariance, expected[domain], rtol=1e-3, atol=1e-3)


def test_more_epochs_reconstruct_better():
    losses = train(some_frames(), 1, TrainingSettings(epochs=30, batch=32)).losses[:, 0]
    assert losses[-1] < 0.5 * losses[0]


def test_a_batch_of_one_row_is_left_out():
    frames = np.random.default_rng(0).normal(size=(21, 128)).astype(np.float32)
    data = join_frames([frames], [False])  # 17 vectors: 15 trained on, in batches of 7, 7 and 1
    trained = train(data, 3, TrainingSettings(epochs=1, batch=7))
    assert len(trained.batch_losses) == 2 + 1


def test_a_training_cut_off_goes_on_from_its_last_epoch_with_the_same_numbers(tmp_path):
    data, path, stop, seen = some_frames(), tmp_path / "a.safetensors", threading.Event(), []

    def cut_off(epoch):
        seen.append(epoch)
        if epoch == 2:
            stop.set()

    with pytest.raises(TrainingStoppedError):
        train(data, 11, QUICK, checkpoint=path, on_epoch=cut_off, stop=stop)
    trained = train(data, 11, QUICK, checkpoint=path, on_epoch=seen.append)
    assert seen == [1, 2, 3, 4]
    assert_same(trained, train(data, 11, QUICK))


def test_a_finished_training_is_not_trained_again(tmp_path):
    data, path, seen = some_frames(), tmp_path / "new" / "a.safetensors", []
    first = train(data, 11, QUICK, checkpoint=path)
    second = train(data, 11, QUICK, checkpoint=path, on_epoch=seen.append)
    assert seen == []
    assert_same(first, second)


def test_a_training_killed_before_its_covariances_has_them_after(tmp_path):
    data, path = some_frames(), tmp_path / "a.safetensors"
    kept = []
    train(data, 11, QUICK, checkpoint=path, on_epoch=lambda _: kept.append(path.read_bytes()))
    path.write_bytes(kept[-1])
    assert_same(train(data, 11, QUICK, checkpoint=path), train(data, 11, QUICK))


KILLED = """
import sys, numpy as np
from pathlib import Path
from firstshot.autoencoder.features import join_frames
from firstshot.autoencoder.settings import TrainingSettings
from firstshot.autoencoder.trials import train_trials
frames = np.load(sys.argv[1])
data = join_frames(np.split(frames, 4), [False, False, False, True])
train_trials(data, [5], TrainingSettings(epochs=40, batch=32), checkpoints=[Path(sys.argv[2])])
"""


def test_a_run_killed_at_any_moment_ends_with_the_same_numbers(tmp_path):
    frames = np.random.default_rng(2).normal(-15, 6, size=(400, 128)).astype(np.float32)
    np.save(tmp_path / "frames.npy", frames)
    path = tmp_path / "a.safetensors"
    command = [sys.executable, "-c", KILLED, str(tmp_path / "frames.npy"), str(path)]
    for _ in range(2):
        with subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}) as process:
            written = path.stat().st_mtime_ns if path.exists() else 0
            while process.poll() is None:
                if path.exists() and path.stat().st_mtime_ns != written:
                    process.send_signal(signal.SIGKILL)
                    break
                time.sleep(0.002)
    data = join_frames(np.split(frames, 4), [False, False, False, True])
    settings, seen = TrainingSettings(epochs=40, batch=32), []
    trained = train(data, 5, settings, checkpoint=path, on_epoch=seen.append)
    assert 0 < len(seen) < 40
    assert_same(trained, train(data, 5, settings))


def test_a_damaged_checkpoint_is_reported_and_training_starts_again(tmp_path):
    data, path = some_frames(), tmp_path / "a.safetensors"
    first = train(data, 11, QUICK, checkpoint=path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.warns(FirstshotWarning, match="not readable as a checkpoint"):
        second = train(data, 11, QUICK, checkpoint=path)
    assert_same(first, second)


def _flipped(content, arrays, name):
    return content[:-1] + bytes([content[-1] ^ 1])


def _of_another(content, arrays, name):
    return pack_arrays("another", arrays)


def _without_moments(content, arrays, name):
    left = {k: v for k, v in arrays.items() if not k.startswith("adam.0.")}
    return pack_arrays(name, left)


def _of_another_shape(content, arrays, name):
    return pack_arrays(name, {**arrays, "network.encoder.0.bias": np.zeros(3, np.float32)})


def _not_finite(content, arrays, name):
    return pack_arrays(name, {**arrays, "losses": arrays["losses"] * np.nan})


def _too_long(content, arrays, name):
    return pack_arrays(name, {**arrays, "losses": np.ones((9, 2))})


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_flipped, "the digest differs"),
        (_of_another, "the entry of another key"),
        (_without_moments, "does not hold the arrays of one training"),
        (_of_another_shape, r"network.encoder.0.bias is not finite or not of shape"),
        (_not_finite, "losses is not finite"),
        (_too_long, "the losses of 9 epochs of 4"),
    ],
)
def test_a_checkpoint_that_is_not_what_was_written_is_set_aside_and_training_starts_again(
    tmp_path, damage, reason
):
    data, path, kept = some_frames(), tmp_path / "a.safetensors", []
    whole = train(
        data, 11, QUICK, checkpoint=path, on_epoch=lambda _: kept.append(path.read_bytes())
    )
    path.write_bytes(damage(kept[1], unpack_arrays("a", kept[1]), "a"))
    with pytest.warns(FirstshotWarning, match=f"{reason}.*set aside .* training starts again"):
        again = train(data, 11, QUICK, checkpoint=path)
    assert_same(again, whole)
    assert (tmp_path / "a.safetensors.damaged").is_file()


def test_a_checkpoint_that_cannot_be_written_stops_the_training(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        train(some_frames(), 1, QUICK, checkpoint=tmp_path / "file" / "a.safetensors")


def test_trials_have_the_same_numbers_however_many_are_trained_at_a_time():
    data, seeds = some_frames(), (1, 2, 3)
    torch.set_num_threads(2)
    together = train_trials(data, seeds, QUICK, workers=3)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)
    for seed, trained in zip(seeds, together, strict=True):
        assert_same(trained, train(data, seed, QUICK))
    assert not np.array_equal(together[0].losses, together[1].losses)


def test_progress_counts_the_epochs_of_all_trials():
    seen = []
    train_trials(some_frames(), (1, 2), QUICK, progress=lambda *done: seen.append(done))
    assert seen == [(done, 8) for done in range(1, 9)]


def test_an_error_in_one_trial_ends_the_others():
    def fail(done, total):
        if done > 3:
            raise KeyboardInterrupt

    endless = TrainingSettings(epochs=10**6, batch=64)
    with pytest.raises(KeyboardInterrupt):
        train_trials(some_frames(), (1, 2, 3), endless, progress=fail, workers=2)


def test_a_training_that_diverges_says_so():
    wild = TrainingSettings(epochs=20, batch=64, learning_rate=1e30)
    with pytest.raises(ParameterError, match="choose a learning rate below 1e\\+30"):
        train(some_frames(), 1, wild)


def test_the_callers_random_numbers_are_left_alone():
    before = torch.random.get_rng_state()
    train(some_frames(), 1, QUICK)
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_clips_score_does_not_depend_on_other_clips_of_other_lengths():
    trained = train(some_frames(), 1, QUICK)
    precisions = invert_covariances(trained.covariances)
    frames = np.random.default_rng(9).normal(-15, 6, size=(40, 128)).astype(np.float32)
    vectors = np.array([frames[k : k + 5].reshape(-1) for k in range(36)])
    with torch.inference_mode():
        residuals = (trained.network(torch.from_numpy(vectors))[0]).numpy() - vectors
    for score in ("mse", "mahala", "mahala_per_frame"):
        expected = score_residuals(residuals, score, precisions)
        found = score_residuals(trained.residuals(frames), score, precisions)
        assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("epochs", 0), ("batch", 1), ("learning_rate", 0.0), ("validation_share", 0.6)],
)
def test_a_setting_that_cannot_be_used_is_named(setting, value):
    with pytest.raises(ParameterError, match=f"setting {setting} is {value}"):
        TrainingSettings(**{setting: value})


def test_nothing_of_the_package_but_training_imports_torch():
    code = (
        "import sys; from firstshot.autoencoder import checkpoint, features, scores, settings; "
        "assert not {'torch', 'scipy.stats'} & sys.modules.keys()"
    )
    source = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=source)
