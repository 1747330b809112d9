"""Which view and which band group made a clip's score.

Input: a window's embeddings and its detector. Output: a `ViewScore` for each view, the highest
first. The score of a clip is the mean of its views' scores (or the smallest). A view whose groups
of bands are compared by themselves tells the group with the highest score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from firstshot.detector.fitted import FittedDetector
from firstshot.detector.fitted.parts import Part
from firstshot.encoders.joint import layers_by_member
from firstshot.encoders.pooling import keeps_frequency
from firstshot.encoders.protocol import Encoder
from firstshot.scoring.normalizers.grouped import Grouped


@dataclass(frozen=True)
class ViewScore:
    """The score of a clip in one view.

    Attributes
    ----------
    view : str
        The view's name, as in `Result.parts`.
    encoder : str
        The encoder that it belongs to.
    layers : tuple of int
        The encoder's layers, counted from 1; several only where layers are joined.
    score : float
        What enters the clip's score.
    standardized : bool
        Whether the score is in standard deviations above the mean of the normal clips, each scored
        without itself.
    low_hz, high_hz : float or None
        The band group with the highest score; None where all bands are compared as one, or where
        a value is not of one band.
    group_score : float or None
        That group's own score, standardised like the view's.

    Examples
    --------
    >>> print(ViewScore("bands", "spectra", (1,), 3.07, True, 1200.0, 1900.0, 3.5))
    bands (spectra layer 1): 1,200 to 1,900 Hz, 3.1 deviations above normal clips
    >>> print(ViewScore("layer 7", "ced_tiny", (7,), 1.25, False))
    layer 7 (ced_tiny): score 1.25
    """

    view: str
    encoder: str
    layers: tuple[int, ...]
    score: float
    standardized: bool
    low_hz: float | None = None
    high_hz: float | None = None
    group_score: float | None = None

    @property
    def name(self) -> str:
        """The view with its encoder and layer."""
        return _name(self.view, self.encoder, self.layers)

    def __str__(self) -> str:
        if not self.standardized:
            return f"{self.name}: score {self.score:.3g}"
        # The highest of groups that are all usual is no place of a fault.
        known = self.low_hz is not None and self.score > 0
        band = f"{self.low_hz:,.0f} to {self.high_hz:,.0f} Hz, " if known else ""
        side = "above" if self.score > 0 else "below"
        return f"{self.name}: {band}{abs(self.score):.1f} deviations {side} normal clips"


def view_names(fitted: FittedDetector) -> dict[str, str]:
    """Return each view's label with the encoder and the layer that it belongs to, by the label."""
    names = {}
    for number, part in enumerate(fitted.parts):
        encoder, layers, _ = _origin(fitted, number)
        names[part.label] = _name(part.label, encoder.name, layers)
    return names


def _name(view: str, encoder: str, layers: Sequence[int]) -> str:
    of_encoder = f"{encoder} layer {' + '.join(map(str, layers))}"
    if view == of_encoder:
        return view
    return f"{view} ({encoder if view.startswith('layer ') else of_encoder})"


def view_scores(
    fitted: FittedDetector, layers: Sequence[NDArray[np.float32]], parts: Mapping[str, float]
) -> tuple[ViewScore, ...]:
    """Return each view's score of one window, the highest first.

    Parameters
    ----------
    fitted : FittedDetector
    layers : sequence of float32 (1, values)
        The window's embeddings, as in `EmbeddedClip.layers`.
    parts : mapping
        The window's scores by view, as in `Result.parts`.
    """
    found = [
        _view_score(fitted, number, rows, parts[part.label])
        for number, (part, rows) in enumerate(
            zip(fitted.parts, fitted.recipe.join(layers), strict=True)
        )
    ]
    return tuple(sorted(found, key=lambda one: -one.score))


def _view_score(
    fitted: FittedDetector, number: int, rows: NDArray[np.float32], score: float
) -> ViewScore:
    part = fitted.parts[number]
    encoder, layers, pooling = _origin(fitted, number)
    found = ViewScore(part.label, encoder.name, layers, score, part.recipe.standardize)
    if not isinstance(part.normalizer, Grouped) or not _of_bands(part, pooling):
        return found
    of_groups = part.normalizer.group_scores(part.transform(rows))[0]
    group = int(of_groups.argmax())
    edges = encoder.frequency_bands(layers[0])
    first = group * len(edges) // len(of_groups)
    last = -(-(group + 1) * len(edges) // len(of_groups)) - 1
    return replace(
        found,
        low_hz=float(edges[first][0]),
        high_hz=float(edges[last][1]),
        group_score=float(of_groups[group]),
    )


def _origin(fitted: FittedDetector, number: int) -> tuple[Encoder, tuple[int, ...], str]:
    """Return the encoder of a part, its layers there, and how they are pooled."""
    settings, columns = fitted.embedding_settings, fitted.recipe.columns
    if fitted.recipe.combine != "concat":
        columns = columns[number : number + 1]
    wanted = [settings.layers[column] for column in columns]
    of_members = layers_by_member(settings.encoder, wanted)
    encoder, layers = next(pair for pair in of_members if pair[1])
    return encoder, layers, settings.poolings[columns[0]]


def _of_bands(part: Part, pooling: str) -> bool:
    """Tell whether a part's groups are groups of bands."""
    return part.recipe.groups > 1 and keeps_frequency(pooling) and part.transform.name != "whiten"
