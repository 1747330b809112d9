import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from firstshot.autoencoder.scores import released_threshold
from firstshot.autoencoder.settings import TrainingSettings
from firstshot.dcase.data.layout import read_layout
from firstshot.dcase.running.baseline import (
    score_section_with_autoencoder,
)
from firstshot.dcase.running.baseline_section import average_trials
from firstshot.dcase.running.system import BaselineSystem, make_system
from firstshot.errors import MissingLibraryError, ParameterError, SoundError
from firstshot.scoring.metrics import section_metrics
from firstshot.scoring.threshold import fit_threshold

QUICK = BaselineSystem(
    name="quick", autoencoder="mse", seeds=(1, 2), training=TrainingSettings(epochs=3, batch=64)
)


def tone(hertz, seconds, seed, noise=0.05):
    """A hum in noise; clips of one machine differ by their noise."""
    time = np.arange(int(seconds * 16000)) / 16000
    hum = 0.2 * np.sin(2 * np.pi * hertz * time)
    return hum + noise * np.random.default_rng(seed).standard_normal(len(time))


def write_machine(root, odd_hertz=3000.0):
    """Clips of unequal length of one machine: anomalies whine, the target domain hums higher."""
    clips = {}
    for i in range(8):
        domain = "target" if i >= 6 else "source"
        hertz = 220.0 if domain == "target" else 120.0
        name = f"train/section_00_{domain}_train_normal_{i:04d}_noAttribute.wav"
        clips[name] = tone(hertz, 1.0 + 0.1 * i, i)
    for i, domain in enumerate(("source", "target") * 4):
        label = "anomaly" if i % 4 > 1 else "normal"
        hertz = 220.0 if domain == "target" else 120.0
        sound = tone(hertz, 1.5 - 0.1 * i, 100 + i)
        if label == "anomaly":
            sound = sound + tone(odd_hertz, 1.5 - 0.1 * i, 0, noise=0.0)
        clips[f"test/section_00_{domain}_test_{label}_{i:04d}_noAttribute.wav"] = sound
    for name, samples in clips.items():
        path = root / "pump" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, 16000, subtype="PCM_16")
    return read_layout(root)[0]


@pytest.fixture(scope="module")
def section(tmp_path_factory):
    pytest.importorskip("torch")
    return write_machine(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def scored(section):
    return score_section_with_autoencoder(section, QUICK)


def test_every_trial_scores_every_clip(section, scored):
    assert [trial.seed for trial in scored.trials] == [1, 2]
    for trial in scored.trials:
        assert trial.scores.shape == (len(section.test),)
        assert trial.training_scores.shape == (len(section.train),)
    assert not np.array_equal(scored.trials[0].scores, scored.trials[1].scores)
    assert "nine tenths" in scored.notes[0]


def test_a_threshold_is_set_as_released_or_on_clips(scored):
    for trial in scored.trials:
        released = trial.threshold()
        assert released.value == released_threshold(trial.batch_scores, 0.9)
        assert released.false_alarm_rate == 0.1
        assert "mini-batches" in released.promise
        of_clips = trial.threshold("quantile", 0.25)
        assert of_clips == fit_threshold(trial.training_scores, "quantile", 0.25)
    with pytest.raises(ParameterError, match="threshold method 'half' is not known"):
        trial.threshold("half")


@pytest.mark.parametrize("score", ["mse", "mahala", "mahala_per_frame"])
def test_a_whine_that_was_not_trained_on_is_heard(section, score):
    training = TrainingSettings(epochs=40, batch=64)
    settings = BaselineSystem(name="quick", autoencoder=score, seeds=(1,), training=training)
    (trial,) = score_section_with_autoencoder(section, settings).trials
    labels = np.array([clip.label for clip in section.test])
    metrics = section_metrics(labels, trial.scores, [clip.domain for clip in section.test])
    assert metrics["auc_source"] > 0.7


def test_test_clips_are_scored_alone_and_never_trained_on(section, scored, tmp_path):
    other = write_machine(tmp_path, odd_hertz=1000.0)
    rescored = score_section_with_autoencoder(other, QUICK)
    normal = np.array([clip.label == 0 for clip in section.test])
    for one, two in zip(scored.trials, rescored.trials, strict=True):
        np.testing.assert_array_equal(one.training_scores, two.training_scores)
        np.testing.assert_array_equal(one.batch_scores, two.batch_scores)
        np.testing.assert_array_equal(one.scores[normal], two.scores[normal])
        assert (one.scores[~normal] != two.scores[~normal]).all()


def test_the_second_baseline_trains_nothing_again(section, scored, tmp_path):
    titles = []

    def progress(title):
        return lambda done, total: titles.append((title, done, total))

    first = score_section_with_autoencoder(section, QUICK, checkpoints=tmp_path, progress=progress)
    clips = len(section.train) + len(section.test)
    assert ("pump_section_00: clips read by the autoencoder", clips, clips) in titles
    assert ("pump_section_00: epochs by the autoencoder", 6, 6) in titles
    titles.clear()
    mahala = QUICK.model_copy(update={"autoencoder": "mahala"})
    score_section_with_autoencoder(section, mahala, checkpoints=tmp_path, progress=progress)
    assert {title for title, _, _ in titles} == {"pump_section_00: clips read by the autoencoder"}
    assert len(list(tmp_path.glob("*.safetensors"))) == 2
    for one, two in zip(scored.trials, first.trials, strict=True):
        np.testing.assert_array_equal(one.scores, two.scores)


def test_a_changed_training_clip_is_trained_anew(section, tmp_path):
    settings = QUICK.model_copy(update={"seeds": (1,)})
    score_section_with_autoencoder(section, settings, checkpoints=tmp_path)
    fewer = replace(section, train=section.train[1:])
    score_section_with_autoencoder(fewer, settings, checkpoints=tmp_path)
    untold = replace(section, train=tuple(replace(clip, domain=None) for clip in section.train))
    score_section_with_autoencoder(untold, settings, checkpoints=tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) == 3


def test_a_clip_that_is_too_short_is_named_before_anything_is_trained(section, tmp_path):
    path = tmp_path / "section_00_source_test_normal_0000.wav"
    soundfile.write(path, np.ones(1700) * 0.1, 16000)
    short = replace(section, test=(replace(section.test[0], path=path),))
    titles = []
    with pytest.raises(SoundError, match=f"{path.name}.*at least 2048 samples"):
        score_section_with_autoencoder(
            short, QUICK, progress=lambda title: lambda *done: titles.append(title)
        )
    assert not any("epochs" in title for title in titles)


def test_silence_among_the_clips_is_noted(section, tmp_path):
    path = tmp_path / "section_00_source_test_normal_0000.wav"
    soundfile.write(path, np.zeros(16000), 16000)
    silent = replace(section, test=(replace(section.test[0], path=path),))
    scored = score_section_with_autoencoder(silent, QUICK.model_copy(update={"seeds": (1,)}))
    assert any("digital silence" in note for note in scored.notes)


def test_a_damaged_checkpoint_is_noted(section, scored, tmp_path):
    score_section_with_autoencoder(section, QUICK, checkpoints=tmp_path)
    damaged = next(tmp_path.glob("*.safetensors"))
    damaged.write_bytes(damaged.read_bytes()[:100])
    again = score_section_with_autoencoder(section, QUICK, checkpoints=tmp_path)
    assert any("not readable as a checkpoint" in note for note in again.notes)
    for one, two in zip(scored.trials, again.trials, strict=True):
        np.testing.assert_array_equal(one.scores, two.scores)


def test_without_torch_one_line_says_what_to_install(section, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(
        MissingLibraryError, match=r"autoencoder baseline needs PyTorch.*pip install"
    ):
        score_section_with_autoencoder(section, QUICK)


@pytest.mark.parametrize(
    ("seeds", "message"),
    [([], "at least 1 item"), ([1, 1], "give different numbers"), ([-1], "greater than or equal")],
)
def test_seeds_that_cannot_be_used_are_refused(seeds, message):
    with pytest.raises(ParameterError, match=rf"field 'seeds.*{message}"):
        make_system({"name": "quick", "autoencoder": "mse", "seeds": seeds})


def test_a_score_that_is_not_known_is_refused():
    with pytest.raises(ParameterError, match="field 'autoencoder': input should be 'mse', "):
        make_system({"name": "quick", "autoencoder": "mad"})


def test_five_trials_have_a_mean_and_a_sample_deviation():
    trials = [{"auc_source": x, "pauc": 0.5} for x in (0.70, 0.72, 0.74, 0.76, 0.78)]
    del trials[2]["pauc"]
    means, deviations = average_trials(trials)
    assert means == {"auc_source": pytest.approx(0.74)}
    assert deviations == {"auc_source": pytest.approx(0.001**0.5)}
    assert average_trials([{"pauc": 0.5}]) == ({"pauc": 0.5}, {"pauc": 0.0})


REAL = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "real_machines"


@pytest.mark.skipif(not REAL.is_dir(), reason="the real recordings are not beside the repository")
def test_both_baselines_run_on_a_real_machine(tmp_path):
    pytest.importorskip("torch")
    section = read_layout(REAL, ["BldcMotorA"])[0]
    training = TrainingSettings(epochs=10)
    labels = np.array([clip.label for clip in section.test])
    domains = [clip.domain for clip in section.test]
    for score in ("mse", "mahala"):
        settings = BaselineSystem(
            name="quick", autoencoder=score, seeds=(13711,), training=training
        )
        found = score_section_with_autoencoder(section, settings, checkpoints=tmp_path)
        metrics = section_metrics(labels, found.trials[0].scores, domains)
        assert metrics["auc_source"] > 0.5
    assert len(list(tmp_path.iterdir())) == 1
