"""The map of a section: its normal clips and its test clips as points on a plane.

Input: the embedded clips of each encoder, and the section's result. Output: a `ClipMap` of at most
`MOST_POINTS` clips. A clip of several windows is shown by their mean.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from firstshot.dcase.data.layout import MachineSection
from firstshot.detector.embedding import EmbeddedClip
from firstshot.results import SectionResult
from firstshot.scoring.plane import (
    ClipMap,
    MappedClip,
    choose_clips,
    clip_products,
    principal_points,
)


def compare_clips(
    normal: Sequence[EmbeddedClip], test: Sequence[EmbeddedClip]
) -> NDArray[np.float64]:
    """Return the products (points, points) of the clips that the map shows, by one encoder."""
    chosen = choose_clips(len(normal), len(test))
    clips = [*normal, *test]
    layers = (
        np.stack([clips[row].layers[layer].mean(axis=0) for row in chosen])
        for layer in range(len(clips[0].layers))
    )
    return clip_products(layers, np.flatnonzero(chosen < len(normal)))


def map_section(
    section: MachineSection, products: Sequence[NDArray[np.float64]], result: SectionResult
) -> ClipMap:
    """Return the map of a section by the mean of its encoders' products."""
    normal = (*section.source, *section.target)
    learned = [
        MappedClip(clip.path.name, True, clip.domain or "", clip.label, attributes=clip.values)
        for clip in normal
    ]
    scored = [
        MappedClip(
            clip.path.name,
            False,
            clip.domain or "",
            clip.label,
            float(result.scores[i]),
            bool(result.decisions[i]),
            clip.values,
        )
        for i, clip in enumerate(section.test)
    ]
    clips = [*learned, *scored]
    chosen = choose_clips(len(normal), len(scored))
    points, shares = principal_points(np.mean(products, axis=0))
    return ClipMap(tuple(clips[row] for row in chosen), points, shares)
