"""The bank of a fitted detector edited: clips added or removed, banks merged, members reduced.

Input: a `FittedDetector` and the change. Output: a new one, equal to a fit on the clips that are
then in the bank: transforms, normalisers and held-out scores are computed anew of the raw
embeddings, and the threshold is set anew by the method and rate it had. Nothing is embedded again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import count, groupby
from pathlib import Path
from typing import Any

import numpy as np

from firstshot.detector.embedding import Clip, EmbeddedClip
from firstshot.detector.file import Origin, check_unwritten
from firstshot.detector.fitted.normal_clips import NormalClips, clip_of, make_normal_clips
from firstshot.detector.fitted.record import Calibration, FittedDetector, fit_detector
from firstshot.disk.names import write_name
from firstshot.domains import DOMAINS
from firstshot.errors import ParameterError, warn
from firstshot.messages import shown_value
from firstshot.numbers import is_whole
from firstshot.scoring.bank import MemoryBank
from firstshot.scoring.reduction import METHODS, reduce_bank
from firstshot.scoring.threshold import fit_threshold, smallest_promise

NAMED_AT_MOST = 5


@dataclass(frozen=True)
class BankClip:
    """A normal clip in the bank.

    `windows` counts its members, `digest` is of its samples. `origin` is None for a clip of the
    fit; else it tells where the clip came from and when it was added.
    """

    clip: str
    domain: str
    windows: int
    digest: str
    origin: Origin | None = None


def list_bank(fitted: FittedDetector) -> tuple[BankClip, ...]:
    """Return the clips of the bank, source first."""
    found = []
    for (domain, name, digest), windows in groupby(fitted.normal_clips.rows, clip_of):
        rows = list(windows)
        found.append(BankClip(name, domain, len(rows), digest, rows[0].origin))
    return tuple(found)


def origin_of(clips: Sequence[Clip]) -> Origin:
    """Return the origin of clips that are added now: the folder they have in common."""
    paths = [str(clip.source.absolute()) for clip in clips if isinstance(clip.source, Path)]
    if not paths:
        return origin_now("arrays")
    try:
        return origin_now(paths[0] if len(paths) == 1 else os.path.commonpath(paths))
    except ValueError:  # on several drives of Windows
        return origin_now("several folders")


def origin_now(source: str) -> Origin:
    """Return the origin of what is added now."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Origin(write_name(source), now)


def check_domain(domain: str | None) -> None:
    """Raise ParameterError for a domain that is neither source, target nor None."""
    if domain is not None and domain not in DOMAINS:
        raise ParameterError(f"domain {shown_value(domain)}: choose source or target")


def check_new(fitted: FittedDetector, names: Iterable[str], domain: str) -> None:
    """Raise ParameterError where a clip of that name is in the domain's bank already."""
    check_domain(domain)
    there = {clip_of(row)[1] for row in fitted.normal_clips.rows if row.domain == domain}
    twice = [name for name in names if name in there]
    if twice:
        raise ParameterError(
            f"{_few(twice)}: already in the {domain} bank; remove it first, or give the new clip "
            "another name"
        )


def number_on(fitted: FittedDetector, clips: Sequence[Clip], domain: str) -> list[Clip]:
    """Give arrays without a name of their own the numbers that are free in the bank."""
    taken = {clip_of(row)[1] for row in fitted.normal_clips.rows if row.domain == domain}
    free = (f"array {i}" for i in count() if f"array {i}" not in taken)
    return [
        clip
        if isinstance(clip.source, Path) or not re.fullmatch(r"array \d+", clip.name)
        else replace(clip, name=next(free))
        for clip in clips
    ]


def add_clips(
    fitted: FittedDetector, clips: Sequence[EmbeddedClip], domain: str, origin: Origin
) -> FittedDetector:
    """Add embedded clips to a domain's bank, after the members that are there."""
    check_new(fitted, (clip.name for clip in clips), domain)
    source, target = (clips, ()) if domain == "source" else ((), clips)
    length = fitted.embedding_settings.length
    added = _with_origin(make_normal_clips(source, target, length, fitted.recipe), origin)
    return _fit_again(fitted, fitted.normal_clips.join(added))


def remove_clips(
    fitted: FittedDetector, names: Iterable[str], domain: str | None = None
) -> FittedDetector:
    """Remove clips by name from one domain, or (None) from both.

    A window of a long clip is named as its member, such as `a.wav@10s`.
    """
    check_domain(domain)
    unknown = dict.fromkeys(names)
    unwanted = set(unknown)
    kept = []
    for index, row in enumerate(fitted.normal_clips.rows):
        matching = {row.clip, clip_of(row)[1]} & unwanted
        if matching and domain in (None, row.domain):
            for name in matching:
                unknown.pop(name, None)
        else:
            kept.append(index)
    if unknown:
        raise ParameterError(
            f"{_few(list(unknown))}: not in the {domain + ' ' if domain else ''}bank; "
            "`firstshot bank list` shows its clips, in Python `members()`"
        )
    return _fit_again(fitted, fitted.normal_clips.keep(np.asarray(kept, dtype=np.intp)))


def reduce_members(
    fitted: FittedDetector,
    size: int,
    method: str = "kmeans",
    domain: str | None = None,
    seed: int = 0,
) -> FittedDetector:
    """Keep at most `size` members of a domain, or (None) of each; see `scoring.reduction`.

    Members are chosen by Euclidean distance after the transform, over all layers joined.
    """
    check_domain(domain)
    if method not in METHODS:
        raise ParameterError(f"method {shown_value(method)}: choose one of {', '.join(METHODS)}")
    if not is_whole(size, 1, 1 << 62):
        raise ParameterError(f"size {shown_value(size)}: give how many members to keep, as 200")
    normal = fitted.normal_clips
    joined = np.concatenate([part.transformed.embeddings for part in fitted.parts], axis=1)
    bank = MemoryBank(joined, fitted.parts[0].bank.members)
    for one in DOMAINS if domain is None else (domain,):
        if len(bank.rows(one)) > size:
            bank = reduce_bank(bank, one, size, method, seed)
    kept = set(bank.members)
    rows = [i for i, member in enumerate(fitted.parts[0].bank.members) if member in kept]
    return _fit_again(fitted, normal.keep(np.asarray(rows, dtype=np.intp)))


def merge_detectors(
    fitted: FittedDetector, other: FittedDetector, origin: Origin
) -> FittedDetector:
    """Add the bank of another detector; both must have been fitted with the same settings.

    Raises
    ------
    ParameterError
        A setting differs, or a clip name is in both banks.
    """
    check_unwritten(other.mapped)
    mine, theirs = _identity(fitted), _identity(other)
    for name, value in mine.items():
        if theirs[name] != value:
            raise ParameterError(
                f"{name} differs: {shown_value(value)} in the first detector and "
                f"{shown_value(theirs[name])} in the other; only banks of equal settings can be "
                "merged, fit one of them anew"
            )
    for domain in DOMAINS:
        names = (clip.clip for clip in list_bank(other) if clip.domain == domain)
        check_new(fitted, names, domain)
    origin = replace(origin, seconds=other.normal_clips.fitted_seconds)
    return _fit_again(fitted, fitted.normal_clips.join(_with_origin(other.normal_clips, origin)))


def _identity(fitted: FittedDetector) -> dict[str, Any]:
    """Return everything that two detectors must have in common for one bank."""
    settings = fitted.embedding_settings
    return {
        "encoder": settings.encoder.name,
        "the encoder's weights or settings": settings.encoder.fingerprint,
        "layers": settings.layers,
        "pooling": settings.pooling,
        "length": str(settings.length),
        "channel": str(settings.channel),
        **{
            name: _one_or_all([getattr(part, name) for part in fitted.recipe.parts])
            for name in ("label", "transform", "normalizer", "metric", "settings", "groups")
        },
        **{name: value for name, value in asdict(fitted.recipe).items() if name != "parts"},
    }


def _one_or_all(values: list[Any]) -> Any:
    """Return the value that all have in common, else all of them."""
    return values[0] if all(value == values[0] for value in values) else tuple(values)


def _with_origin(clips: NormalClips, origin: Origin) -> NormalClips:
    """Give an origin to the clips that have none."""
    if origin.seconds is None:
        origin = replace(origin, seconds=clips.fitted_seconds)
    rows = tuple(row if row.origin else replace(row, origin=origin) for row in clips.rows)
    return replace(clips, rows=rows)


def _fit_again(fitted: FittedDetector, normal_clips: NormalClips) -> FittedDetector:
    """Fit on other clips, with the threshold's method and rate as they were."""
    check_unwritten(fitted.mapped)
    calibration = fitted.calibration
    again = fit_detector(fitted.settings, fitted.embedding_settings, fitted.recipe, normal_clips)
    old, scores = calibration.threshold, again.training_scores
    if calibration.windows is not None:
        warn(
            f"the threshold was set on {old.clips} other clips and is now set on the held-out "
            "scores of the bank's own; calibrate with those clips again to have it back"
        )
    beyond = old.method == "gamma" and old.false_alarm_rate < smallest_promise(old.clips)
    threshold = fit_threshold(scores, old.method, old.false_alarm_rate, extrapolate=beyond)
    return replace(again, calibrated=Calibration(threshold, scores))


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED_AT_MOST} more" if len(names) > NAMED_AT_MOST else ""
    return ", ".join(f"'{name}'" for name in names[:NAMED_AT_MOST]) + more
