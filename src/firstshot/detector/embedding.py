"""Clips become embeddings, several at a time, in order.

Input: clips, and how they are heard. Output: an `EmbeddedClip` each, in the order given. While one
clip is in the encoder, others are read and go through its front-end, each in a thread of its own;
how many threads there are changes no number. Memory does not grow with the number of clips, and
recordings of hours are read in pieces, one at a time; what the store holds is not encoded again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, nullcontext
from math import ceil

from firstshot.detector.file import MemberRow
from firstshot.detector.hearing import Clip, Hearing
from firstshot.detector.listening import (
    SECONDS_AT_ONCE,
    EmbeddedClip,
    Listener,
    seconds_of,
)
from firstshot.detector.sources import Found, HasPath, Source, Sources, find_clips, list_clips
from firstshot.domains import DOMAINS
from firstshot.encoders.protocol import Shareable
from firstshot.errors import FirstshotError, warn
from firstshot.ordered_threads import count_workers, in_order
from firstshot.progress import Progress
from firstshot.store import EmbeddingStore

__all__ = [
    "Clip",
    "EmbeddedClip",
    "Found",
    "HasPath",
    "Hearing",
    "Progress",
    "Source",
    "Sources",
    "embed_all",
    "embed_clips",
    "find_clips",
    "list_clips",
    "member_rows",
]

NAMED_AT_MOST = 5
CLIPS_AT_ONCE = 16
"""What an encoder that does not tell its micro-batch is given in one call."""
AHEAD = 32
"""Clips begun beyond the one that is due: so many pass a slow one. What they hold is embeddings."""


def embed_clips(
    clips: Sequence[Clip],
    hearing: Hearing,
    *,
    store: EmbeddingStore | None = None,
    progress: Progress | None = None,
    on_error: Callable[[Clip, FirstshotError], None] | None = None,
    workers: int | None = None,
    spectra: bool = True,
) -> Iterator[EmbeddedClip]:
    """Yield every clip's embeddings in order.

    Parameters
    ----------
    on_error : callable, optional
        Called with a clip that cannot be read or encoded, which is then left out; without it the
        error is raised.
    workers : int, optional
        Clips worked on at once, which changes no number; None means one a core, 8 at most. An
        encoder's network shares its threads among them.
    spectra : bool
        Whether the spectra are wanted that a detector is fitted on and explanations are worded
        from; scores need none.

    `progress` and `on_error` are called in the caller's thread, in the order of the clips.
    """
    encoder = hearing.encoder
    shared = encoder if isinstance(encoder, Shareable) else None
    size = shared.micro_batch if shared else CLIPS_AT_ONCE
    count = min(count_workers(workers), max(1, ceil(len(clips) / size)))
    turns = nullcontext() if shared else threading.Lock()
    listener = Listener(hearing, store, spectra, turns)
    done = 0
    with ExitStack() as stack:
        begin = stack.enter_context(shared.share(count, len(clips))) if shared else None
        outcomes = in_order(
            listener.hear,
            _groups(clips, hearing, size),
            count,
            max(AHEAD, count),
            begin=begin,
            left=listener.left,
        )
        for outcome in stack.enter_context(closing(outcomes)):
            heard = outcome.get()
            for note in heard.notes:
                warn(note)
            for clip, found in zip(outcome.item, heard.found, strict=True):
                done += 1
                if isinstance(found, EmbeddedClip):
                    yield found
                elif on_error is None:
                    raise found
                else:
                    on_error(clip, found)
                if progress is not None:
                    progress(done, len(clips))


def embed_all(
    clips: Sequence[Clip],
    hearing: Hearing,
    *,
    store: EmbeddingStore | None = None,
    progress: Progress | None = None,
    workers: int | None = None,
    spectra: bool = True,
) -> list[EmbeddedClip]:
    """Embed clips that must all be good; raise for the first bad one, naming the others with it."""
    faults: list[tuple[Clip, FirstshotError]] = []
    embedded = embed_clips(
        clips,
        hearing,
        store=store,
        progress=progress,
        on_error=lambda clip, error: faults.append((clip, error)),
        workers=workers,
        spectra=spectra,
    )
    found = list(embedded)
    if not faults:
        return found
    (_, first), *others = faults
    names = ", ".join(clip.name for clip, _ in others[:NAMED_AT_MOST])
    more = f" and {len(others) - NAMED_AT_MOST} more" if len(others) > NAMED_AT_MOST else ""
    raise type(first)(f"{first}" + (f" (nor can be used: {names}{more})" if others else ""))


def member_rows(source: Sequence[EmbeddedClip], target: Sequence[EmbeddedClip]) -> list[MemberRow]:
    """Return one row per window: what a bank's members are called, source first."""
    return [
        MemberRow(name, domain, clip.digest)
        for domain, clips in zip(DOMAINS, (source, target), strict=True)
        for clip in clips
        for name in clip.window_names
    ]


def _groups(clips: Sequence[Clip], hearing: Hearing, size: int) -> Iterator[list[Clip]]:
    """Yield the clips that are encoded in one call: `size`, or as many as are not too long."""
    group: list[Clip] = []
    seconds = 0.0
    for clip in clips:
        group.append(clip)
        seconds += seconds_of(clip, hearing) if size > 1 else 0.0
        if len(group) >= size or seconds >= SECONDS_AT_ONCE:
            yield group
            group, seconds = [], 0.0
    if group:
        yield group
