"""What a clip is taken for: its class is machine x section x domain x attributes.

Input: training clips, never a test clip. Output: the names of the classes and the class of every
clip. Where no clip of a machine's section gives attributes, clusters of its source clips can stand
for them (pseudo-attributes): k-means on what the clips sound like, small clusters joined to their
nearest. The few target clips stay one class, since clusters of ten clips mean nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstshot.errors import ParameterError
from firstshot.training.clips import LoadedClips, TrainingClip

HIDDEN = ("", "noattribute")
"""What a clip says, in lower case, whose attributes are not given."""
MOST_CLUSTERS, CLIPS_PER_CLUSTER, LEAST_CLUSTER = 5, 8, 4
ROUNDS = 100
SEED = 0
"""Of the clusters, which are the same in every training."""

Features = NDArray[np.float64]


@dataclass(frozen=True)
class Classes:
    """The classes' names, sorted, and the number of each clip's class (clips,)."""

    names: tuple[str, ...]
    numbers: NDArray[np.int64]

    @property
    def sizes(self) -> dict[str, int]:
        """Clips of each class."""
        counts = Counter(self.numbers.tolist())
        return {name: counts[number] for number, name in enumerate(self.names)}


def classify_clips(
    loaded: LoadedClips, features: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None
) -> Classes:
    """Return the classes of clips.

    Parameters
    ----------
    loaded : LoadedClips
        The training clips.
    features : callable, optional
        Maps a waveform to numbers, on which clusters are made where attributes are hidden; None
        makes none.

    Raises
    ------
    ParameterError
        All clips are of one class.
    """
    clips = loaded.clips
    parts = [_attributes(clip) for clip in clips]
    if features is not None:
        for rows in _hidden_sources(clips):
            values = np.stack([features(loaded.waveforms[row]) for row in rows]).astype(np.float64)
            clusters = cluster_clips(values)
            for row, cluster in zip(rows, clusters, strict=True):
                parts[row] = f"cluster_{cluster}" if clusters.any() else ""
    labels = [
        "/".join(filter(None, (clip.machine, clip.section, clip.domain, part)))
        for clip, part in zip(clips, parts, strict=True)
    ]
    names = sorted(set(labels))
    if len(names) < 2:
        raise ParameterError(
            f"{len(clips)} clips of one class ({', '.join(names) or 'none'}): a network learns by "
            "telling classes apart; give clips of two machines, or of one with attributes or both "
            "domains"
        )
    numbers = {name: number for number, name in enumerate(names)}
    return Classes(tuple(names), np.array([numbers[label] for label in labels], dtype=np.int64))


def _attributes(clip: TrainingClip) -> str:
    return "" if clip.attributes.lower() in HIDDEN else clip.attributes


def _hidden_sources(clips: Sequence[TrainingClip]) -> list[list[int]]:
    """Return the source clips of each section of a machine in which no clip has attributes."""
    sections: dict[tuple[str, str], list[int]] = {}
    for row, clip in enumerate(clips):
        sections.setdefault((clip.machine, clip.section), []).append(row)
    hidden = [
        [row for row in rows if clips[row].domain != "target"]
        for rows in sections.values()
        if not any(_attributes(clips[row]) for row in rows)
    ]
    return [rows for rows in hidden if rows]


def cluster_clips(features: Features) -> NDArray[np.int64]:
    """Return the cluster (clips,) of each row: k-means with k = min(5, clips / 8).

    Values are standardised first. A cluster of fewer than four clips is joined to the nearest of
    the others.

    >>> apart = np.repeat([[0.0, 0.0], [9.0, 9.0]], 8, axis=0) + np.arange(16)[:, None] / 100
    >>> cluster_clips(apart).tolist()
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]
    """
    count = min(MOST_CLUSTERS, len(features) // CLIPS_PER_CLUSTER)
    if count < 2:
        return np.zeros(len(features), dtype=np.int64)
    deviations = features.std(axis=0)
    rows = (features - features.mean(axis=0)) / np.where(deviations > 0, deviations, 1.0)
    centres = _k_means(rows, count)
    while len(centres) > 1:
        nearest = _distances(rows, centres).argmin(axis=1)
        sizes = np.bincount(nearest, minlength=len(centres))
        if sizes.min() >= LEAST_CLUSTER:
            break
        centres = np.delete(centres, sizes.argmin(), axis=0)
    nearest = _distances(rows, centres).argmin(axis=1)
    # Numbered in the order of the clips, so that a name does not depend on how they were found.
    order = {cluster: number for number, cluster in enumerate(dict.fromkeys(nearest.tolist()))}
    return np.array([order[cluster] for cluster in nearest.tolist()], dtype=np.int64)


def _k_means(rows: Features, count: int) -> Features:
    """Return centres by Lloyd's rounds, begun as k-means++ (Arthur and Vassilvitskii 2007)."""
    draw = np.random.default_rng(SEED)
    centres = rows[[draw.integers(len(rows))]]
    while len(centres) < count:
        chances = _distances(rows, centres).min(axis=1)
        if not chances.sum() > 0:  # fewer different clips than clusters
            break
        centres = np.vstack([centres, rows[draw.choice(len(rows), p=chances / chances.sum())]])
    for _ in range(ROUNDS):
        nearest = _distances(rows, centres).argmin(axis=1)
        moved = np.stack(
            [
                rows[nearest == number].mean(axis=0) if (nearest == number).any() else centre
                for number, centre in enumerate(centres)
            ]
        )
        if np.array_equal(moved, centres):
            break
        centres = moved
    return centres


def _distances(rows: Features, centres: Features) -> Features:
    """Return squared Euclidean distances (rows, centres)."""
    return np.stack([np.square(rows - centre).sum(axis=1) for centre in centres], axis=1)
