"""NaN, infinite, huge and half numbers are refused by every function that takes a number."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from firstshot.autoencoder.settings import TrainingSettings
from firstshot.cli import app
from firstshot.cli.settings import read_channel
from firstshot.complexity import complexity
from firstshot.deploy.benchmark import bench
from firstshot.detector import Detector
from firstshot.encoders import load_encoder
from firstshot.errors import ParameterError
from firstshot.ordered_threads import count_threads, count_workers, in_order
from firstshot.scoring.bank import make_bank, memmixup, merge
from firstshot.scoring.bootstrap import bootstrap_intervals
from firstshot.scoring.threshold import fit_threshold
from firstshot.sound.synth import synthesize
from firstshot.sound.synth.dataset import write_dataset

NAN, INF = float("nan"), float("inf")
WHOLE = [NAN, INF, 1e300, 2**70, 1.5, -1]
NOISE = 0.1 * np.random.default_rng(0).standard_normal((12, 8000))


def bank():
    source = make_bank([[0.0], [1.0]], ["a", "b"], "source")
    return merge(source, make_bank([[2.0]], ["c"], "target"))


CALLS = {
    "workers": lambda n: count_workers(n),
    "workers of a pool": lambda n: in_order(abs, [1, 2], n),
    "workers of a detector": lambda n: Detector("logmel").fit(NOISE, sample_rate=16000, workers=n),
    "threads": lambda n: count_threads(n),
    "clips of a benchmark": lambda n: bench("logmel", clips=n),
    "workers of a benchmark": lambda n: bench("logmel", workers=n),
    "threads of a benchmark": lambda n: bench("logmel", threads=n),
    "epochs": lambda n: TrainingSettings(epochs=n),
    "batch": lambda n: TrainingSettings(batch=n),
    "resamples": lambda n: bootstrap_intervals([0, 1], [0, 1], resamples=n),
    "seed of a bootstrap": lambda n: bootstrap_intervals([0, 1], [0, 1], seed=n),
    "mixtures": lambda n: memmixup(bank(), n),
    "samples": lambda n: complexity("m2d_clap", n),
    "samples of a system": lambda n: complexity("system1", n),
    "samples of a baseline": lambda n: complexity("autoencoder", n),
}


@pytest.mark.parametrize("number", WHOLE, ids=str)
@pytest.mark.parametrize("call", CALLS)
def test_a_count_is_a_whole_number_in_its_range(call, number):
    with pytest.raises(ParameterError):
        CALLS[call](number)


FRACTIONS = {
    "learning rate": lambda x: TrainingSettings(learning_rate=x),
    "validation share": lambda x: TrainingSettings(validation_share=x),
    "false-alarm rate": lambda x: fit_threshold(range(1, 40), "quantile", x),
    "false-alarm rate of a detector": lambda x: Detector(
        "logmel", false_alarm_rate=x
    ).embedding_settings(),
    "level": lambda x: bootstrap_intervals([0, 1], [0, 1], level=x),
    "severity": lambda x: synthesize("SynthFan", "imbalance", severity=x),
    "seconds": lambda x: synthesize("SynthFan", seconds=x),
    "seconds of a benchmark": lambda x: bench("logmel", clip_seconds=x),
    "rate of an encoder's clips": lambda x: load_encoder("logmel").embed(NOISE, x, (1,)),
}


@pytest.mark.parametrize("number", [NAN, INF, -INF, 1e300, 10**400, -1.0], ids=str)
@pytest.mark.parametrize("call", FRACTIONS)
def test_a_number_is_finite_and_in_its_range(call, number):
    with pytest.raises(ParameterError):
        FRACTIONS[call](number)


@pytest.mark.parametrize("number", [NAN, 0.5, 2**64, 10**400], ids=str)
@pytest.mark.parametrize("setting", ["seed", "train_source", "train_target", "test_per_class"])
def test_a_data_set_is_made_of_whole_numbers(tmp_path, setting, number):
    with pytest.raises(ParameterError):
        write_dataset(tmp_path / "made", ["SynthFan"], **{setting: number})
    assert not (tmp_path / "made").exists()


def test_a_false_alarm_rate_below_all_that_clips_can_promise_is_refused_as_such():
    with pytest.raises(ParameterError, match="must lie between 0 and 1"):
        fit_threshold(range(1, 40), "quantile", 5e-324)


@pytest.mark.parametrize("seconds", ["nan", "inf", "-inf", "1e300", "1e999", "0", "-1"])
@pytest.mark.parametrize("table", [[], ["--complexity"]])
def test_the_list_of_encoders_is_counted_for_a_clip_that_can_be(seconds, table):
    done = CliRunner().invoke(app, ["encoders", *table, "--seconds", seconds])
    assert isinstance(done.exception, ParameterError)


@pytest.mark.parametrize("told", ["²", "-1", "0", "nan", "1e3", "9" * 5000, "99999999999"])
def test_a_number_of_threads_that_is_none_leaves_the_cores(monkeypatch, told):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    cores = count_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    assert count_threads() == cores


@pytest.mark.parametrize("text", ["²", "٣", "-1", "9" * 5000, "left"])
def test_a_channel_that_is_no_number_is_refused_before_any_clip_is_heard(text):
    with pytest.raises(ParameterError, match=r"^channel .*: expected a number from 0 on") as raised:
        read_channel(text)
    assert len(str(raised.value)) < 120


def test_a_channel_by_its_number_is_a_number():
    assert (read_channel("0"), read_channel("12"), read_channel("mean")) == (0, 12, "mean")
