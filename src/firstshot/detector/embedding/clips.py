"""Clips become embeddings, several at a time, in order.

Input: clips and embedding settings. Output: an `EmbeddedClip` per clip, in the order given. While
one batch is in the encoder, other threads read clips and compute their spectrograms; the number of
threads changes no result. Memory does not grow with the number of clips. A recording of hours is
read in pieces. A clip that the store holds is not encoded again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, nullcontext
from math import ceil

import numpy as np
from numpy.typing import NDArray

from firstshot.detector.embedding.batch_embedder import (
    SECONDS_AT_ONCE,
    BatchEmbedder,
    EmbeddedClip,
    seconds_of,
)
from firstshot.detector.embedding.settings import Clip, EmbeddingSettings
from firstshot.encoders.protocol import Shareable
from firstshot.errors import FirstshotError, ParameterError, warn
from firstshot.ordered_threads import count_workers, in_order
from firstshot.progress import Progress
from firstshot.store import EmbeddingStore

NAMED_AT_MOST = 5
CLIPS_AT_ONCE = 16
"""Clips in one call of an encoder that does not state its micro-batch."""
AHEAD = 32
"""Clips begun after the one that is due next. Only their embeddings stay in memory."""


def embed_clips(
    clips: Sequence[Clip],
    settings: EmbeddingSettings,
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
        Batches in work at once, which changes no number; None means one per core, 8 at most. The
        threads of the encoder's network are shared among them.
    spectra : bool
        Whether the spectra are needed: for fitting and explanations, but not for scores.

    `progress` and `on_error` are called in the caller's thread, in the order of the clips.
    """
    encoder = settings.encoder
    shared = encoder if isinstance(encoder, Shareable) else None
    size = shared.micro_batch if shared else CLIPS_AT_ONCE
    count = min(count_workers(workers), max(1, ceil(len(clips) / size)))
    lock = nullcontext() if shared else threading.Lock()
    embedder = BatchEmbedder(settings, store, spectra, lock)
    done = 0
    with ExitStack() as stack:
        initializer = stack.enter_context(shared.share(count, len(clips))) if shared else None
        outcomes = in_order(
            embedder.embed,
            _batches(clips, settings, size),
            count,
            max(AHEAD, count),
            thread_initializer=initializer,
            cancelled=embedder.cancelled,
        )
        for outcome in stack.enter_context(closing(outcomes)):
            batch = outcome.get()
            for message in batch.warnings:
                warn(message)
            for clip, found in zip(outcome.item, batch.outcomes, strict=True):
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
    settings: EmbeddingSettings,
    *,
    store: EmbeddingStore | None = None,
    progress: Progress | None = None,
    workers: int | None = None,
    spectra: bool = True,
) -> list[EmbeddedClip]:
    """Embed clips, none of which may fail; the error of the first bad one names the others."""
    faults: list[tuple[Clip, FirstshotError]] = []
    embedded = embed_clips(
        clips,
        settings,
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


def stack_layers(clips: Sequence[EmbeddedClip]) -> list[NDArray[np.float32]]:
    """Return one array (windows of all clips, values) per layer.

    Raises ParameterError where a pooling that keeps time met clips of different lengths.
    """
    by_layer = [list(rows) for rows in zip(*(clip.layers for clip in clips), strict=True)]
    for rows in by_layer:
        widths = sorted({row.shape[1] for row in rows})
        if len(widths) > 1:
            raise ParameterError(
                f"embeddings of {widths[0]} to {widths[-1]} values: clips of different lengths "
                "under a pooling that keeps time; use the pooling temporal, or the length policy "
                "fixed:SECONDS"
            )
    stacked = [np.concatenate(rows) for rows in by_layer]
    for array in stacked:
        array.setflags(write=False)  # a bank then holds it without a copy
    return stacked


def _batches(clips: Sequence[Clip], settings: EmbeddingSettings, size: int) -> Iterator[list[Clip]]:
    """Yield the clips of one call: `size`, or fewer where they are long."""
    batch: list[Clip] = []
    seconds = 0.0
    for clip in clips:
        batch.append(clip)
        seconds += seconds_of(clip, settings) if size > 1 else 0.0
        if len(batch) >= size or seconds >= SECONDS_AT_ONCE:
            yield batch
            batch, seconds = [], 0.0
    if batch:
        yield batch
