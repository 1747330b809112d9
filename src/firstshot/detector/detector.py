"""The detector: encoder, layers, bank, normaliser and threshold as one object.

Input: a machine's normal clips, of the source domain and, where there are any, of a target domain
with new conditions. Output: a score per clip, a decision, and the normal clips it lies nearest to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from firstshot.detector.bank import EditableBank
from firstshot.detector.embedding import Clip, EmbeddedClip, EmbeddingSettings, embed_all
from firstshot.detector.estimator import NEAREST_SHOWN, Labels, clips_to_learn
from firstshot.detector.fitted import (
    Calibration,
    FittedDetector,
    fit_detector,
    make_normal_clips,
    read_settings,
    recordings_of,
    resolve_settings,
)
from firstshot.detector.fitted.held_out import held_out_groups
from firstshot.detector.fitted.parts import Part, Recipe
from firstshot.detector.prediction import clip_scores, leave_out_learned, predict_clips
from firstshot.detector.sources import Source, Sources, list_clips
from firstshot.detector.views import View
from firstshot.encoders.protocol import Encoder
from firstshot.progress import Progress
from firstshot.results import Result
from firstshot.scoring.threshold import Threshold, domain_shares, fit_threshold
from firstshot.sound.audio import Channel, LengthPolicy
from firstshot.sound.near_far import Transfer
from firstshot.store import EmbeddingStore

if TYPE_CHECKING:
    from firstshot.detector.explanation import Explanation

Resolved: TypeAlias = tuple[dict[str, Any], dict[str, Any], EmbeddingSettings, Recipe]
"""The arguments as given, with every choice made, and what they mean."""


@dataclass(eq=False)
class Detector(EditableBank):
    """Learns one machine from its normal sound and scores new clips of it.

    Parameters
    ----------
    encoder : str or Encoder, optional
        A name of `firstshot.list_encoders()`, or an encoder object. It, `layers`, `pooling`,
        `normalizer`, `normalizer_settings`, `metric` and `transform` describe one way to compare
        clips; where none of them is given, `views` says what is compared. None means `logmel`.
    views : str or sequence of View, optional
        What is compared, and how: a preset (`recommended`, `recommended_small`,
        `recommended_fusion`, `embedded`), views, or `auto` for `recommended_fusion` where its
        weights are on this machine, else `recommended`. None means `auto`, or nothing beside an
        argument that describes one way.
    layers : sequence of int, optional
        Layers counted from 1, negative ones from the end; None takes the encoder's own choice.
    pooling : str, optional
        How a layer's grid becomes one embedding, see `firstshot.encoders.pooling`; None means
        `temporal`.
    combine : "score_mean", "score_min" or "concat"
        Plain mean over the scores of the views (or of each layer's bank), the smallest of them, or
        one bank of the joined embeddings.
    normalizer : str, optional
        A name of `firstshot.scoring.normalizers`; None means `domain_local_density`.
    normalizer_settings : dict, optional
        Its parameters, such as `{"k_source": 16, "k_target": 9}`.
    metric : "sqeuclidean", "euclidean" or "cosine", optional
        The distance between embeddings; None means `sqeuclidean`.
    transform : "none", "standardize" or "whiten", optional
        Fitted on the normal clips before distances are taken; None takes the encoder's own choice
        (`standardize` for `logmel`, whose dimensions have different units, else `none`).
    length : str or LengthPolicy
        `native`, `fixed:SECONDS` or `windows:SECONDS[:HOP]`.
    channel : int, "mean" or "near-far"
        The channel to use, counted from 0, the mean over channels, or near minus far: channel 0
        (at the machine) without what channel 1 (in the room) explains of it.
    far_noise : clips, optional
        For `near-far`: recordings of the room's noise alone, the machine off, on which `fit` fits
        once how the noise reaches both microphones; None fits it on each clip, which also takes
        away of the machine what reaches the far one.
    threshold : "conformal", "quantile" or "gamma"
        How `fit` sets the threshold on held-out scores; see `calibrate`.
    false_alarm_rate : float
        The share of normal clips that may be called anomalous.
    threshold_for : "pooled" or "each_domain"
        Whether the false-alarm rate is that of all held-out scores, or of each domain: then the
        higher of the domains' thresholds is taken, so that new conditions raise no more alarms.
    held_out : "block" or "single", optional
        Whether a clip's held-out score is of a fit without its recording, or without it alone. None
        means `block` for standardised views, and `single` for the rest.
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

    encoder: str | Encoder | None = None
    _: KW_ONLY
    views: str | Sequence[View | Mapping[str, Any]] | None = None
    layers: Sequence[int] | None = None
    pooling: str | None = None
    combine: Literal["score_mean", "score_min", "concat"] = "score_mean"
    normalizer: str | None = None
    normalizer_settings: dict[str, Any] | None = None
    metric: str | None = None
    transform: str | None = None
    length: str | LengthPolicy = "native"
    channel: Channel = "mean"
    far_noise: Sources | Transfer | None = None
    threshold: str = "conformal"
    false_alarm_rate: float = 0.1
    threshold_for: Literal["pooled", "each_domain"] = "pooled"
    held_out: Literal["block", "single"] | None = None
    memmixup: bool = False
    bank_precision: str = "float32"
    encoder_settings: dict[str, Any] | None = None
    sample_rate: int | None = None

    fitted_: FittedDetector = field(init=False, repr=False)
    resolved_: Resolved = field(init=False, repr=False)

    def fit(
        self,
        source: Sources,
        target: Sources | Labels | None = None,
        *,
        sample_rate: int | None = None,
        store: EmbeddingStore | None = None,
        progress: Progress | None = None,
        workers: int | None = None,
        groups: str | Sequence[Any] | None = None,
        held_out: Progress | None = None,
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
            Clips worked on at once; None means one per core, 8 at most. No number depends on it.
        groups : str or sequence, optional
            Which clips are cut from one recording: a label per clip (source, then target), or a
            pattern (a regular expression; its first group, or the whole match, in a clip's name is
            the recording). None takes the clips before and after, in the order of their names.
        held_out : optional
            Called with (clips scored, clips in all) while clips are left out in turn.

        Raises
        ------
        SoundError, DatasetError
            A clip cannot be read, is named twice, or there are too few.
        """
        sources, targets = clips_to_learn(source, target, self._rate(sample_rate))
        settings, _ = self._prepare()
        recordings = recordings_of(groups, [clip.name for clip in sources + targets])
        clips = embed_all(
            sources + targets, settings, store=store, progress=progress, workers=workers
        )
        return self.fit_embedded(
            clips[: len(sources)], clips[len(sources) :], groups=recordings, progress=held_out
        )

    def fit_embedded(
        self,
        source: Sequence[EmbeddedClip],
        target: Sequence[EmbeddedClip] = (),
        *,
        groups: str | Sequence[Any] | None = None,
        progress: Progress | None = None,
    ) -> Detector:
        """Learn from clips that were embedded before, as `fit` does."""
        embedding_settings, recipe = self._prepare()
        resolved = self.resolved_[1]
        # A fit that fails half-way must not leave the old detector as if it were the new one.
        vars(self).pop("fitted_", None)
        names = [clip.name for clip in (*source, *target)]
        normal_clips = make_normal_clips(
            source, target, embedding_settings.length, recipe, recordings_of(groups, names)
        )
        self.fitted_ = fit_detector(resolved, embedding_settings, recipe, normal_clips, progress)
        return self.calibrate()

    def embedding_settings(self, fetch_missing: bool = True) -> EmbeddingSettings:
        """Check the settings, load the encoder once, and return how clips become embeddings.

        A fitted detector returns the settings it was fitted with. Without `fetch_missing` the
        encoder's weights must be on this machine already.
        """
        if hasattr(self, "fitted_"):
            return self.fitted_.embedding_settings
        return self._prepare(fetch_missing)[0]

    def unfitted(self) -> Detector:
        """Return a detector of the same settings that has learned nothing, with the same encoder.

        The encoder is loaded once for all of them.
        """
        self._prepare()
        again = Detector(**self._settings())
        again.resolved_ = self.resolved_
        return again

    @property
    def preset(self) -> str | None:
        """The name of the preset in use, None where the detector has views of its own or none."""
        self._prepare()
        views = self.resolved_[1]["views"]
        return views if isinstance(views, str) else None

    def _prepare(self, fetch_missing: bool = True) -> tuple[EmbeddingSettings, Recipe]:
        """Resolve the constructor's arguments as they are now; an encoder is loaded once."""
        settings = self._settings()
        # Arrays have no one truth: noise that is not the same object counts as other noise.
        known = hasattr(self, "resolved_") and self.resolved_[0]["far_noise"] is self.far_noise
        if not known or self.resolved_[0] != settings:
            resolved = resolve_settings(settings)
            self.resolved_ = (settings, resolved, *read_settings(resolved, fetch_missing))
        return self.resolved_[2:]

    def _settings(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self) if f.init}

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
            Allow the gamma law a rate below the smallest that the clips can promise; without it
            such a rate is a ParameterError that names the smallest.
        """
        self._check_fitted("fitted_" if clips is None else "threshold_")
        fitted = self.fitted_
        scores, windows = fitted.training_scores, None
        if clips is not None:
            embedded = leave_out_learned(
                fitted, self.embed(clips, sample_rate=sample_rate, spectra=False)
            )
            scores, windows = clip_scores(self.predict_embedded(embedded, neighbors=0))
        rate = self.false_alarm_rate if false_alarm_rate is None else false_alarm_rate
        per_domain = clips is None and self.threshold_for == "each_domain"
        groups = held_out_groups(fitted.normal_clips.rows) if per_domain else []
        domains = [group.domain for group in groups] or None
        threshold = fit_threshold(scores, method or self.threshold, rate, extrapolate, domains)
        self.fitted_ = replace(fitted, calibrated=Calibration(threshold, scores, windows))
        return self

    def false_alarms(self) -> list[str]:
        """Say which share of each domain's normal clips scores above the threshold.

        The scores are the held-out scores of the normal clips. A domain that exceeds the requested
        rate by more than chance explains is named.
        """
        fitted = self._fitted()
        if fitted.calibration.windows is not None:
            return []  # it was set on other clips
        domains = [group.domain for group in held_out_groups(fitted.normal_clips.rows)]
        return domain_shares(fitted.calibration.threshold, fitted.training_scores, domains)

    def explain(self, source: Source, *, sample_rate: int | None = None) -> Explanation:
        """Say why one clip scores as it does; see `firstshot.detector.explanation.Explanation`."""
        from firstshot.detector.explanation import explain_clip

        clips = self.embed(source, sample_rate=sample_rate)
        return explain_clip(self._fitted(), clips, self.predict_embedded(clips))

    def embed(
        self,
        sources: Sources,
        *,
        sample_rate: int | None = None,
        workers: int | None = None,
        spectra: bool = True,
    ) -> list[EmbeddedClip]:
        """Return the clips' embeddings, whether the detector is fitted or not.

        `spectra` are for `fit_embedded` and explanations.
        """
        clips = list_clips(sources, self._rate(sample_rate))
        return embed_all(clips, self.embedding_settings(), workers=workers, spectra=spectra)

    def _predict_clips(
        self, clips: list[Clip], neighbors: int, workers: int | None
    ) -> list[Result]:
        return self.predict_embedded(
            embed_all(clips, self.embedding_settings(), workers=workers, spectra=False), neighbors
        )

    def predict_embedded(
        self,
        clips: Sequence[EmbeddedClip],
        neighbors: int = NEAREST_SHOWN,
        expect_faults: bool = False,
    ) -> list[Result]:
        """Return a `Result` per embedded clip; `neighbors` normal clips are named in each.

        With `expect_faults` no note is given where most of the clips are anomalous.
        """
        return predict_clips(self._fitted(), clips, neighbors, expect_faults)

    def save(self, path: str | Path, *, overwrite: bool = True) -> None:
        """Write the detector to a `.firstshot` file, in one step.

        Raises
        ------
        OutputError
            The file cannot be written, or exists and `overwrite` is False.
        """
        from firstshot.detector.saving import save_detector

        save_detector(self._fitted(), Path(path), overwrite)

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

        return cls.from_fitted(load_detector(Path(path), encoder))

    @classmethod
    def from_fitted(cls, fitted: FittedDetector) -> Detector:
        """Make the detector of a record, such as another detector's `fitted_`."""
        detector = cls(**fitted.settings)
        detector.fitted_ = fitted
        settings = detector._settings()
        detector.resolved_ = (
            settings,
            dict(fitted.settings),
            fitted.embedding_settings,
            fitted.recipe,
        )
        return detector

    @property
    def threshold_(self) -> Threshold:
        """The threshold, and what is known of its false alarms."""
        self._check_fitted("fitted_")
        return self.fitted_.calibration.threshold

    @property
    def parts_(self) -> tuple[Part, ...]:
        """The nearest-neighbour systems: one per layer, or one of all layers."""
        self._check_fitted("fitted_")
        return self.fitted_.parts

    @property
    def training_scores_(self) -> NDArray[np.float64]:
        """Held-out scores of the normal clips, float64 (clips,)."""
        self._check_fitted("fitted_")
        return self.fitted_.training_scores

    @property
    def calibration_scores_(self) -> NDArray[np.float64]:
        """The scores that the threshold was set on, float64 (clips,)."""
        return self._fitted().calibration.scores
