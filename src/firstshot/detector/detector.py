"""The detector: encoder, layers, bank, normaliser and threshold as one object.

Input: a machine's normal clips, of the source domain and, where there are any, of a target domain
with new conditions. Output: a score per clip, a decision, and the normal clips it lies nearest to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from firstshot.detector.embedding import EmbeddedClip, Progress, embed_all, member_rows
from firstshot.detector.estimator import NEAREST_SHOWN, Estimator, Labels, clips_to_learn
from firstshot.detector.file import MappedFile, MemberRow
from firstshot.detector.hearing import Clip, Hearing
from firstshot.detector.parts import Part, Recipe, SavedPart, fit_parts
from firstshot.detector.prediction import (
    clip_scores,
    heard_seconds,
    predict_clips,
    stack_layers,
)
from firstshot.detector.settings import read_settings
from firstshot.detector.sources import Source, Sources, list_clips
from firstshot.encoders.protocol import Encoder
from firstshot.results import Result
from firstshot.scoring.threshold import Threshold, fit_threshold
from firstshot.sound.audio import Channel, LengthPolicy
from firstshot.store import EmbeddingStore

if TYPE_CHECKING:
    from firstshot.detector.explanation import Explanation


@dataclass(eq=False)
class Detector(Estimator):
    """Learns one machine from its normal sound and scores new clips of it.

    Parameters
    ----------
    encoder : str or Encoder
        A name of `firstshot.list_encoders()`, or an encoder object.
    layers : sequence of int, optional
        Layers counted from 1, negative ones from the end; None takes the encoder's own choice.
    pooling : "temporal", "spectral" or "all"
        How a layer's grid becomes one embedding.
    combine : "score_mean" or "concat"
        Plain mean over the scores of each layer's bank, or one bank of the joined embeddings.
    normalizer : str
        `none`, `test_zscore`, `domain_zscore`, `local_density` or `domain_local_density`.
    normalizer_settings : dict, optional
        Its parameters, such as `{"k_source": 16, "k_target": 9}`.
    metric : "sqeuclidean", "euclidean" or "cosine"
        The distance between embeddings.
    transform : "none", "standardize" or "whiten", optional
        Fitted on the normal clips before distances are taken; None takes the encoder's own choice
        (`standardize` for `logmel`, whose dimensions have different units, else `none`).
    length : str or LengthPolicy
        `native`, `fixed:SECONDS` or `windows:SECONDS[:HOP]`.
    channel : int or "mean"
        The channel to hear, counted from 0, or the mean over channels.
    threshold : "conformal", "quantile" or "gamma"
        How `fit` sets the threshold on held-out scores; see `calibrate`.
    false_alarm_rate : float
        The share of normal clips that may be called anomalous.
    memmixup : bool
        Widen the target bank by mixtures of target and source clips (GenRep, 2024).
    bank_precision : "float32" or "float16"
        What members are kept in; float16 halves the file and is searched where it lies in it.
    encoder_settings : dict, optional
        What the encoder's constructor takes, such as `{"keep_level": True}`.
    sample_rate : int, optional
        Rate in Hz of the arrays that come without one, where a call names none either.

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal
    >>> normal = [(0.1 * noise(16000), 16000) for _ in range(20)]
    >>> detector = Detector(normalizer="local_density").fit(normal)
    >>> hum, hiss = 0.1 * np.sin(np.arange(16000) * 0.3), 0.1 * noise(16000)
    >>> [detector.predict((clip, 16000)).is_anomaly for clip in (hum, hiss)]
    [True, False]
    """

    encoder: str | Encoder = "logmel"
    _: KW_ONLY
    layers: Sequence[int] | None = None
    pooling: str = "temporal"
    combine: Literal["score_mean", "concat"] = "score_mean"
    normalizer: str = "domain_local_density"
    normalizer_settings: dict[str, Any] | None = None
    metric: str = "sqeuclidean"
    transform: str | None = None
    length: str | LengthPolicy = "native"
    channel: Channel = "mean"
    threshold: str = "conformal"
    false_alarm_rate: float = 0.1
    memmixup: bool = False
    bank_precision: str = "float32"
    encoder_settings: dict[str, Any] | None = None
    sample_rate: int | None = None

    settings_: dict[str, Any] = field(init=False, repr=False)
    hearing_: Hearing = field(init=False, repr=False)
    recipe_: Recipe = field(init=False, repr=False)
    parts_: tuple[Part, ...] = field(init=False, repr=False)
    rows_: tuple[MemberRow, ...] = field(init=False, repr=False)
    spectra_: NDArray[np.float32] = field(init=False, repr=False)
    levels_: NDArray[np.float32] = field(init=False, repr=False)
    training_scores_: NDArray[np.float64] = field(init=False, repr=False)
    calibration_scores_: NDArray[np.float64] = field(init=False, repr=False)
    calibration_windows_: int | None = field(init=False, repr=False)
    heard_seconds_: tuple[float, float] | None = field(init=False, repr=False)
    threshold_: Threshold = field(init=False, repr=False)
    mapped_: MappedFile | None = field(init=False, repr=False)

    def fit(
        self,
        source: Sources,
        target: Sources | Labels | None = None,
        *,
        sample_rate: int | None = None,
        store: EmbeddingStore | None = None,
        progress: Progress | None = None,
        workers: int | None = None,
    ) -> Detector:
        """Learn from normal clips: files, folders, (array, rate) pairs or records with a `path`.

        Parameters
        ----------
        source, target : clips
            Those of the usual conditions, two at least, and those of new ones (another speed, load
            or background), if there are any. In place of `target`, scikit-learn's `y` is taken: a
            label 0 (normal) or 1 (anomalous) per source clip; the anomalous are left out.
        sample_rate : int, optional
            Rate in Hz of the arrays that come without one, (samples,), (samples, channels), or
            several clips (clips, samples).
        store, progress : optional
            Where embeddings are kept between runs; called with (clips done, clips in all).
        workers : int, optional
            Clips worked on at once; None means one a core, 8 at most. No number depends on it.

        Raises
        ------
        SoundError, DatasetError
            A clip cannot be read, is named twice, or there are too few.
        """
        if hasattr(self, "hearing_") and self.settings_ != self._settings():
            del self.hearing_
        sources, targets = clips_to_learn(source, target, self._rate(sample_rate))
        clips = embed_all(
            sources + targets, self.hear(), store=store, progress=progress, workers=workers
        )
        return self.fit_embedded(clips[: len(sources)], clips[len(sources) :])

    def fit_embedded(
        self, source: Sequence[EmbeddedClip], target: Sequence[EmbeddedClip] = ()
    ) -> Detector:
        """Learn from clips that were embedded before, as `fit` does."""
        from firstshot.detector.held_out import check_clips, held_out_scores

        check_clips(source, target)
        clips = [*source, *target]
        spectra = np.concatenate([clip.spectrum for clip in clips])
        self.restore(member_rows(source, target), stack_layers(clips), spectra)
        levels = np.concatenate([clip.levels for clip in clips])
        if len(levels) == len(self.rows_):
            self.levels_ = levels
        heard = [heard_seconds(clip, self.hear().length) for clip in clips]
        known = [seconds for seconds in heard if seconds is not None]
        self.heard_seconds_ = (min(known), max(known)) if known else None
        windows = [len(clip.starts) for clip in clips]
        self.training_scores_ = held_out_scores(self.parts_, self.recipe_, windows)
        return self.calibrate()

    def restore(
        self,
        rows: Sequence[MemberRow],
        layers: Sequence[NDArray[Any]],
        spectra: NDArray[np.float32],
        saved: Sequence[SavedPart] | None = None,
    ) -> None:
        """Build the parts from raw embeddings (windows, values) per layer, source windows first.

        With `saved` parts the layers are joined already; without them all is fitted.
        """
        labels = [f"layer {layer}" for layer in self.hear().layers]
        banks = self.recipe_.join(layers) if saved is None else layers
        # A fit that fails half-way must not leave an old threshold beside new banks.
        vars(self).pop("threshold_", None)
        self.rows_, self.spectra_, self.mapped_ = tuple(rows), spectra, None
        # Not known of older files, nor of spectra that are given alone.
        self.levels_ = np.full(len(rows), np.nan, dtype=np.float32)
        self.calibration_windows_, self.heard_seconds_ = None, None
        self.parts_ = fit_parts(labels, banks, rows, self.recipe_, saved)

    def hear(self, fetch_missing: bool = True) -> Hearing:
        """Check the settings, load the encoder once, and return how clips are heard.

        Without `fetch_missing` it is loaded from what lies on this machine.
        """
        if hasattr(self, "hearing_"):
            return self.hearing_
        self.settings_ = self._settings()
        self.hearing_, self.recipe_ = read_settings(self.settings_, fetch_missing)
        return self.hearing_

    def _settings(self) -> dict[str, Any]:
        """Return the constructor's arguments as they are now; `settings_` are those in use."""
        return {name: value for name, value in vars(self).items() if not name.endswith("_")}

    def calibrate(
        self,
        false_alarm_rate: float | None = None,
        method: str | None = None,
        *,
        clips: Sources | None = None,
        sample_rate: int | None = None,
        extrapolate: bool = False,
    ) -> Detector:
        """Set the threshold anew on normal clips alone; nothing is learned again.

        Parameters
        ----------
        false_alarm_rate, method : optional
            As `false_alarm_rate` and `threshold` of the constructor, which None keeps.
        clips : clips, optional
            Held-out normal clips to set it on; None takes the training clips' held-out scores.
        extrapolate : bool
            Let the gamma law speak of rates that so few clips cannot promise; without it such a
            rate is a ParameterError that says which they can.
        """
        self._check_fitted("training_scores_")
        scores, windows = self.training_scores_, None
        if clips is not None:
            heard = self.embed(clips, sample_rate=sample_rate, spectra=False)
            scores, windows = clip_scores(self.predict_embedded(heard, neighbors=0))
        rate = self.false_alarm_rate if false_alarm_rate is None else false_alarm_rate
        self.threshold_ = fit_threshold(scores, method or self.threshold, rate, extrapolate)
        self.calibration_scores_, self.calibration_windows_ = scores, windows
        return self

    def explain(self, source: Source, *, sample_rate: int | None = None) -> Explanation:
        """Say why one clip scores as it does; see `firstshot.detector.explanation.Explanation`."""
        from firstshot.detector.explanation import explain_clip

        clips = self.embed(source, sample_rate=sample_rate)
        return explain_clip(self, clips, self.predict_embedded(clips))

    def embed(
        self,
        sources: Sources,
        *,
        sample_rate: int | None = None,
        workers: int | None = None,
        spectra: bool = True,
    ) -> list[EmbeddedClip]:
        """Return the clips' embeddings; `spectra` are for `fit_embedded` and explanations."""
        self._check_fitted()
        clips = list_clips(sources, self._rate(sample_rate))
        return embed_all(clips, self.hear(), workers=workers, spectra=spectra)

    def _predict_clips(
        self, clips: list[Clip], neighbors: int, workers: int | None
    ) -> list[Result]:
        return self.predict_embedded(
            embed_all(clips, self.hear(), workers=workers, spectra=False), neighbors
        )

    def predict_embedded(
        self, clips: Sequence[EmbeddedClip], neighbors: int = NEAREST_SHOWN
    ) -> list[Result]:
        """Return a `Result` per embedded clip; `neighbors` normal clips are named in each."""
        self._check_fitted()
        return predict_clips(self, clips, neighbors)

    def save(self, path: str | Path, *, overwrite: bool = True) -> None:
        """Write the detector to a `.firstshot` file, in one step.

        Raises
        ------
        OutputError
            The file cannot be written, or exists and `overwrite` is False.
        """
        from firstshot.detector.saving import save_detector

        self._check_fitted()
        save_detector(self, Path(path), overwrite)

    @classmethod
    def load(cls, path: str | Path, *, encoder: Encoder | None = None) -> Detector:
        """Read a detector from a `.firstshot` file; its scores equal the saved one's bit for bit.

        Parameters
        ----------
        encoder : Encoder, optional
            The one that the bank was made with, where its name alone does not find it.

        Raises
        ------
        DetectorFileError
            The file is truncated, altered or newer, or the encoder gives other numbers.
        """
        from firstshot.detector.loading import load_detector

        return load_detector(Path(path), cls, encoder)
