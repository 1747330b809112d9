"""One section of a machine under the challenge's autoencoder baseline, in several trials.

Input: the clips of a section. Output: per trial (a training from a seed of its own) the scores of
the test clips, of the training clips and of the mini-batches that the release sets its threshold
on; and, of the trials' metrics, mean and deviation, as the challenge's tables give them. The MSE
and the Mahalanobis baselines share their networks: with a folder for checkpoints, the second one
trains nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from firstshot.autoencoder.checkpoint import checkpoint_name
from firstshot.autoencoder.features import MEL, TrainingFrames, join_frames, log_mel
from firstshot.autoencoder.scores import (
    SCORES,
    ScoreName,
    invert_covariances,
    released_threshold,
    score_residuals,
)
from firstshot.autoencoder.settings import SEEDS, TrainingSettings
from firstshot.dcase.data.layout import MachineSection
from firstshot.dcase.data.machine_folder import ClipRecord
from firstshot.detector.embedding import Progress
from firstshot.errors import ParameterError, SoundError, keep_warnings, warn
from firstshot.libraries import import_library
from firstshot.ordered_threads import count_workers, in_order
from firstshot.scoring.threshold import CHALLENGE_RATE, Threshold, fit_threshold
from firstshot.sound.audio import Channel, LengthPolicy, load_waveform
from firstshot.sound.recording import record

if TYPE_CHECKING:
    from firstshot.autoencoder.training import TrainedAutoencoder

RELEASED = "released"
SEEN = (
    "p-values and clip-level thresholds rest on the training clips' own scores; the autoencoder "
    "has seen nine tenths of their vectors, so new normal clips score higher"
)


@dataclass(frozen=True)
class BaselineSettings:
    """How the baseline is run.

    Attributes
    ----------
    score : str
        `mse`, `mahala` (as released), `mahala_per_frame` (the task paper's equation 6) or
        `mahala_per_frame_root`; see `firstshot.autoencoder.scores`.
    seeds : tuple of int
        One trial each.
    training : TrainingSettings
        As released, unless changed.
    channel : int or "mean"
        What is heard of clips with several channels: the release takes the first.
    """

    score: ScoreName = "mse"
    seeds: tuple[int, ...] = SEEDS
    training: TrainingSettings = field(default_factory=TrainingSettings)
    channel: Channel = 0

    def __post_init__(self) -> None:
        if self.score not in SCORES:
            raise ParameterError(
                f"score {self.score!r} is not known; choose one of {', '.join(SCORES)}"
            )
        seeds = self.seeds
        if not seeds or len(set(seeds)) < len(seeds) or not 0 <= min(seeds) <= max(seeds) < 2**63:
            raise ParameterError(
                f"seeds {self.seeds}: give different numbers from 0 to 2^63 - 1, one per trial"
            )


@dataclass(frozen=True)
class TrialScores:
    """What one trial says of a section; higher is more anomalous.

    Attributes
    ----------
    seed : int
        What the trial was trained from.
    scores : float64 (test clips,)
        In the order of `MachineSection.test`.
    training_scores : float64 (training clips,)
        In the order of `MachineSection.train`; the network has seen nine tenths of their vectors.
    batch_scores : float64 (batches,)
        Scores of mini-batches of training and validation vectors.
    """

    seed: int
    scores: NDArray[np.float64]
    training_scores: NDArray[np.float64]
    batch_scores: NDArray[np.float64]

    def threshold(
        self, method: str = RELEASED, false_alarm_rate: float = CHALLENGE_RATE
    ) -> Threshold:
        """Return the trial's threshold.

        `released` is the release's way: a gamma law with free location over the mini-batches'
        scores. The methods of `fit_threshold` take the training clips' own scores.
        """
        if method != RELEASED:
            return fit_threshold(self.training_scores, method, false_alarm_rate)
        return Threshold(
            value=released_threshold(self.batch_scores, 1.0 - false_alarm_rate),
            method=RELEASED,
            false_alarm_rate=false_alarm_rate,
            clips=len(self.training_scores),
            promised_false_alarm_rate=None,
            promise=f"set as released: a gamma law of {len(self.batch_scores)} mini-batches that "
            "many clips share, which says little of the false alarms of clips",
        )


@dataclass(frozen=True)
class BaselineScores:
    """What all trials say of a section, and what a careful user would want to know of it."""

    trials: tuple[TrialScores, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class TrialStatistic:
    """Mean and sample deviation (n - 1) of a metric over trials; of one trial, 0."""

    mean: float
    deviation: float
    trials: int


@dataclass(frozen=True)
class _Heard:
    """A clip's log-mel spectrogram (frames, 128) and the hash of its samples."""

    frames: NDArray[np.float32]
    digest: str


def score_section_with_autoencoder(
    section: MachineSection,
    settings: BaselineSettings | None = None,
    *,
    checkpoints: Path | None = None,
    progress: Callable[[str], Progress] | None = None,
    workers: int | None = None,
) -> BaselineScores:
    """Train the trials on a section's training clips and score all of its clips.

    Parameters
    ----------
    section : MachineSection
        The test clips are read but only scored, after the last epoch.
    settings : BaselineSettings, optional
        None means the MSE baseline as released, five trials.
    checkpoints : Path, optional
        A folder in which every trial keeps its last epoch under the hash of its clips, seed and
        settings: a run that was killed goes on there, with the same numbers.
    progress : callable, optional
        Given a title, returns what is called with (done, in all): clips read, then epochs.
    workers : int, optional
        Clips that are read, then trials that are trained at a time; None means one per core.

    Raises
    ------
    WeightsError
        PyTorch is missing.
    SoundError
        A clip cannot be read, or is shorter than five frames (0.128 s).
    DatasetError
        There are too few vectors to train on, or for a covariance.
    """
    settings = settings or BaselineSettings()
    import_library("torch", "the autoencoder baseline")
    from firstshot.autoencoder.trials import one_thread, train_trials

    with keep_warnings() as caught:
        clips = (*section.train, *section.test)
        heard = _hear(clips, settings.channel, _bar(progress, section, "clips read"), workers)
        normal = heard[: len(section.train)]
        is_target = [clip.domain == "target" for clip in section.train]
        data = join_frames([clip.frames for clip in normal], is_target)
        trained = train_trials(
            data,
            settings.seeds,
            settings.training,
            checkpoints=_places(checkpoints, normal, is_target, settings),
            progress=_bar(progress, section, "epochs"),
            workers=workers,
        )
        with one_thread():
            trials = [_score(trial, data, heard, settings) for trial in trained]
    return BaselineScores(tuple(trials), tuple(dict.fromkeys([SEEN, *caught])))


def trial_statistics(metrics: Sequence[Mapping[str, float]]) -> dict[str, TrialStatistic]:
    """Return the mean and deviation over trials of every metric that all of them have.

    Parameters
    ----------
    metrics : sequence of mappings
        The metrics of each trial, as `section_metrics` names them.

    Examples
    --------
    >>> trial_statistics([{"pauc": 0.5}, {"pauc": 0.75}])["pauc"].mean
    0.625
    """
    found = {}
    for name in metrics[0] if metrics else ():
        if all(name in trial for trial in metrics):
            values = [trial[name] for trial in metrics]
            deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
            found[name] = TrialStatistic(float(np.mean(values)), deviation, len(values))
    return found


def _bar(
    progress: Callable[[str], Progress] | None, section: MachineSection, what: str
) -> Progress | None:
    return progress(f"{section.name}: {what} by the autoencoder") if progress else None


def _places(
    folder: Path | None,
    normal: Sequence[_Heard],
    is_target: Sequence[bool],
    settings: BaselineSettings,
) -> list[Path] | None:
    """Return the file of each trial's checkpoint."""
    if folder is None:
        return None
    digests = [clip.digest for clip in normal]
    names = [checkpoint_name(digests, is_target, s, settings.training) for s in settings.seeds]
    return [folder / name for name in names]


def _hear(
    clips: Sequence[ClipRecord], channel: Channel, step: Progress | None, workers: int | None
) -> list[_Heard]:
    """Read every clip before anything is trained, so that a bad one is told of at once."""
    heard = []
    hear = partial(_hear_clip, channel=channel)
    with closing(in_order(hear, clips, count_workers(workers))) as outcomes:
        for outcome in outcomes:
            clip, notes = outcome.get()
            heard.append(clip)
            for note in notes:
                warn(note)
            if step is not None:
                step(len(heard), len(clips))
    return heard


def _hear_clip(clip: ClipRecord, channel: Channel) -> tuple[_Heard, list[str]]:
    """Return a clip's spectrogram, and what is to be warned of."""
    with keep_warnings() as notes:
        waveform = load_waveform(clip.path, MEL.sample_rate, channel=channel)
    digest = record(lambda: [waveform], MEL.sample_rate, LengthPolicy()).digest
    try:
        return _Heard(log_mel(waveform), digest), notes
    except SoundError as error:
        raise SoundError(f"{clip.path}: {error}") from error


def _score(
    trained: TrainedAutoencoder,
    data: TrainingFrames,
    heard: Sequence[_Heard],
    settings: BaselineSettings,
) -> TrialScores:
    """Score the training clips, of which there are as many as `data` has, and the test clips."""
    score = settings.score
    precisions = () if score == "mse" else invert_covariances(trained.covariances)
    residuals = (trained.residuals(clip.frames) for clip in heard)
    scores = np.array([score_residuals(errors, score, precisions) for errors in residuals])
    return TrialScores(
        seed=trained.seed,
        scores=scores[data.clips :],
        training_scores=scores[: data.clips],
        batch_scores=trained.score_batches(data, score, precisions),
    )
