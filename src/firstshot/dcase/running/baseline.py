"""One section of a machine under the challenge's autoencoder baseline, in several trials.

Input: the clips of a section. Output: per trial (one training, with a seed of its own) the scores
of the test clips, of the training clips, and of the mini-batches from which the release computes
its threshold. The MSE and the Mahalanobis baselines share their networks: with a folder for
checkpoints, the second one trains nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from firstshot.autoencoder.checkpoint import checkpoint_name
from firstshot.autoencoder.features import MEL, TrainingFrames, join_frames, log_mel
from firstshot.autoencoder.scores import (
    ScoreName,
    invert_covariances,
    released_threshold,
    score_residuals,
)
from firstshot.dcase.data.layout import MachineSection
from firstshot.dcase.data.machine_folder import ClipRecord
from firstshot.dcase.running.system import BaselineSystem
from firstshot.errors import SoundError, keep_warnings, warn
from firstshot.libraries import import_library
from firstshot.ordered_threads import count_workers, in_order
from firstshot.progress import Bars, Progress
from firstshot.scoring.threshold import CHALLENGE_RATE, Threshold, fit_threshold
from firstshot.sound.audio import Channel, LengthPolicy, load_waveform
from firstshot.sound.recording import record

if TYPE_CHECKING:
    from firstshot.autoencoder.training import TrainedAutoencoder

RELEASED = "released"
NOTE = (
    "p-values and clip-level thresholds use the training clips' own scores; the autoencoder "
    "was trained on nine tenths of their vectors, so new normal clips score higher"
)


@dataclass(frozen=True)
class TrialScores:
    """Scores of one trial on a section; higher is more anomalous.

    Attributes
    ----------
    seed : int
        The seed of the training.
    scores : float64 (test clips,)
        In the order of `MachineSection.test`.
    training_scores : float64 (training clips,)
        In the order of `MachineSection.train`; the network was trained on nine tenths of them.
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

        `released` is the method of the release: a gamma law with free location, fitted to the
        scores of the mini-batches. The methods of `fit_threshold` use the training clips' scores.
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
            "many clips share, which says little about the false alarms of clips",
        )


@dataclass(frozen=True)
class BaselineScores:
    """Scores of all trials on a section, and notes for the user."""

    trials: tuple[TrialScores, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _ReadClip:
    """A clip's log-mel spectrogram (frames, 128) and the hash of its samples."""

    frames: NDArray[np.float32]
    digest: str


def score_section_with_autoencoder(
    section: MachineSection,
    system: BaselineSystem,
    *,
    checkpoints: Path | None = None,
    progress: Bars | None = None,
    workers: int | None = None,
) -> BaselineScores:
    """Train the trials on a section's training clips and score all of its clips.

    Parameters
    ----------
    section : MachineSection
        The test clips are read but only scored, after the last epoch.
    system : BaselineSystem
        The score, the seeds (one trial each), the training and the channel.
    checkpoints : Path, optional
        A folder in which each trial stores its last epoch under the hash of its clips, seed and
        settings: a killed run continues there, with the same numbers.
    progress : callable, optional
        Given a title, returns what is called with (done, in all): clips read, then epochs.
    workers : int, optional
        Clips that are read, then trials that are trained at a time; None means one per core.

    Raises
    ------
    MissingLibraryError
        PyTorch is not installed.
    SoundError
        A clip cannot be read, or is shorter than five frames (0.128 s).
    DatasetError
        There are too few vectors to train on, or for a covariance.
    """
    import_library("torch", "the autoencoder baseline")
    from firstshot.autoencoder.trials import train_trials
    from firstshot.torch_states import one_thread

    with keep_warnings() as caught:
        clips = (*section.train, *section.test)
        read = _read_clips(clips, system.channel, _bar(progress, section, "clips read"), workers)
        normal = read[: len(section.train)]
        is_target = [clip.domain == "target" for clip in section.train]
        data = join_frames([clip.frames for clip in normal], is_target)
        trained = train_trials(
            data,
            system.seeds,
            system.training,
            checkpoints=_checkpoint_paths(checkpoints, normal, is_target, system),
            progress=_bar(progress, section, "epochs"),
            workers=workers,
        )
        with one_thread():
            trials = [_score(trial, data, read, system.autoencoder) for trial in trained]
    return BaselineScores(tuple(trials), tuple(dict.fromkeys([NOTE, *caught])))


def _bar(progress: Bars | None, section: MachineSection, what: str) -> Progress | None:
    return progress(f"{section.name}: {what} by the autoencoder") if progress else None


def _checkpoint_paths(
    folder: Path | None,
    normal: Sequence[_ReadClip],
    is_target: Sequence[bool],
    system: BaselineSystem,
) -> list[Path] | None:
    """Return the file of each trial's checkpoint."""
    if folder is None:
        return None
    digests = [clip.digest for clip in normal]
    names = [checkpoint_name(digests, is_target, s, system.training) for s in system.seeds]
    return [folder / name for name in names]


def _read_clips(
    clips: Sequence[ClipRecord], channel: Channel, step: Progress | None, workers: int | None
) -> list[_ReadClip]:
    """Read every clip before the first training, so that an error comes at once."""
    read = []
    task = partial(_read_clip, channel=channel)
    with closing(in_order(task, clips, count_workers(workers))) as outcomes:
        for outcome in outcomes:
            clip, notes = outcome.get()
            read.append(clip)
            for note in notes:
                warn(note)
            if step is not None:
                step(len(read), len(clips))
    return read


def _read_clip(clip: ClipRecord, channel: Channel) -> tuple[_ReadClip, list[str]]:
    """Return a clip's spectrogram, and the warnings about it."""
    with keep_warnings() as notes:
        waveform = load_waveform(clip.path, MEL.sample_rate, channel=channel)
    digest = record(lambda: [waveform], MEL.sample_rate, LengthPolicy()).digest
    try:
        return _ReadClip(log_mel(waveform), digest), notes
    except SoundError as error:
        raise SoundError(f"{clip.path}: {error}") from error


def _score(
    trained: TrainedAutoencoder,
    data: TrainingFrames,
    read: Sequence[_ReadClip],
    score: ScoreName,
) -> TrialScores:
    """Score the training clips, the first `data.clips` of those read, and the test clips."""
    precisions = () if score == "mse" else invert_covariances(trained.covariances)
    residuals = (trained.residuals(clip.frames) for clip in read)
    scores = np.array([score_residuals(errors, score, precisions) for errors in residuals])
    return TrialScores(
        seed=trained.seed,
        scores=scores[data.clips :],
        training_scores=scores[: data.clips],
        batch_scores=trained.score_batches(data, score, precisions),
    )
