"""An encoder's weights are found: in a file, in the cache, or on the network.

Input: an encoder's record, perhaps a path. Output: weights that were read and checked. They are
looked for in this order: the path that is given, the cache, the hub or the release. Nothing is
fetched where the licence is for evaluation only, or where a file is to be got by hand.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from firstshot.disk.files import sha256_of, without_links
from firstshot.disk.resumable import open_resumable
from firstshot.encoders.weights.cache import (
    ADVICE,
    Pointer,
    entry_path,
    load_entry,
    read_pointer,
    weights_folder,
    write_entry,
    write_pointer,
)
from firstshot.encoders.weights.catalog import EncoderRecord, HandFile, HubFile, WebFile
from firstshot.encoders.weights.files import kind_of
from firstshot.encoders.weights.hub import fetch_file, find_in_hub_cache
from firstshot.encoders.weights.read import Weights, read_weights
from firstshot.encoders.weights.web_file import fetch_web_file
from firstshot.errors import OutputError, WeightsError, cannot_write, warn
from firstshot.libraries import import_library


def find_weights(
    record: EncoderRecord,
    path: Path | None,
    variant: str | None,
    settings: Mapping[str, Any],
    fetch_missing: bool = True,
) -> Weights:
    """Return the weights in a file; where none is given, those in the cache, else on the network.

    Raises
    ------
    WeightsError
        They are nowhere, damaged, or another encoder's.
    OutputError
        They were fetched and the cache cannot be written.
    """
    if path is None:
        return _find(record, variant, settings, fetch_missing)
    return _from_file(record, _expanded(path), settings)


def fetch(record: EncoderRecord, variant: str | None = None, quiet: bool = False) -> Pointer:
    """Bring an encoder's published weights into the cache, unless they are there already.

    Raises
    ------
    WeightsError
        They are to be got by hand, cannot be reached, or have another content than announced.
    OutputError
        The cache cannot be written.
    """
    import_library("torch", record.name)
    file = record.file(variant)
    if isinstance(file, HandFile):
        raise WeightsError(
            f"{record.name}: its weights cannot be fetched; {record.advice(variant)}"
        )
    with _one_at_a_time(record):
        pointer = read_pointer(record, variant)
        if pointer is not None and _load_pointed(record, pointer, {}) is not None:
            return pointer
        downloads = weights_folder() / "downloads"
        by_hand = record.by_hand(variant)
        if isinstance(file, WebFile):
            fetched = fetch_web_file(file, downloads, by_hand, quiet)
        else:
            fetched = fetch_file(file, downloads, by_hand, quiet)
        try:
            return _keep(record, variant, fetched.path, fetched.source)
        finally:
            if fetched.ours:
                fetched.path.unlink(missing_ok=True)


def keep_file(record: EncoderRecord, path: Path, variant: str | None = None) -> Pointer:
    """Put a file that the user has into the cache, so that the name alone finds it.

    Raises
    ------
    WeightsError
        The file is not a published one of this encoder.
    OutputError
        The cache cannot be written.
    """
    import_library("torch", record.name)
    record.file(variant)
    return _keep(record, variant, path, str(without_links(path)))


def _keep(record: EncoderRecord, variant: str | None, path: Path, source: str) -> Pointer:
    weights = read_weights(record, path, {})
    digest = sha256_of(path)
    entry = entry_path(record, digest)
    write_entry(entry, weights)
    pointer = Pointer(entry.name, source, digest, weights.digest)
    write_pointer(record, variant, pointer)
    return pointer


def _find(
    record: EncoderRecord, variant: str | None, settings: Mapping[str, Any], fetch_missing: bool
) -> Weights:
    pointer = read_pointer(record, variant)
    if pointer is not None:
        found = _load_pointed(record, pointer, settings)
        if found is not None:
            return found
        if isinstance(record.file(variant), HandFile):
            # Damaged, and nothing to fetch: made again from the file it came from, if that stays.
            return _from_file(record, Path(pointer.source), settings)
    file = record.file(variant)
    there = isinstance(file, HubFile) and find_in_hub_cache(file)
    if isinstance(file, HandFile) or not (fetch_missing or there):
        raise WeightsError(
            f"{record.name}: its weights are not on this machine; {record.advice(variant)}"
        )
    pointer = fetch(record, variant)
    found = _load_pointed(record, pointer, settings)
    if found is None:
        raise WeightsError(
            f"{weights_folder() / pointer.entry}: damaged as soon as it was written; check the disk"
        )
    return found


def _load_pointed(
    record: EncoderRecord, pointer: Pointer, settings: Mapping[str, Any]
) -> Weights | None:
    entry = weights_folder() / pointer.entry
    return load_entry(record, entry, settings, pointer.weights_sha256)


def _from_file(record: EncoderRecord, path: Path, settings: Mapping[str, Any]) -> Weights:
    """Read a file; a pickle is read once, then what it was converted to."""
    if kind_of(path, record.advice()) == "safetensors":
        return read_weights(record, path, settings)
    found = None
    try:
        entry = entry_path(record, sha256_of(path))
        found = load_entry(record, entry, settings)
        if found is None:
            found = read_weights(record, path, settings)
            write_entry(entry, found)
    except OutputError as error:
        warn(f"{error}; {path} is read anew each time")
    return found or read_weights(record, path, settings)


def _expanded(path: Path) -> Path:
    """Return a path with ~ as the home folder, as it is where there is no such user."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path


@contextmanager
def _one_at_a_time(record: EncoderRecord) -> Iterator[None]:
    """Let one process at a time fetch an encoder, where the system can lock files."""
    lock = weights_folder() / "downloads" / f"{record.name}.lock"
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = open_resumable(lock)
    except OSError as error:
        raise cannot_write(lock.parent, error, ADVICE) from error
    with file:
        if os.name == "posix":
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield
