"""The embedding store: what an encoder said of a clip is computed once and kept.

Content-addressed: an entry's key is the hash of the decoded samples and of everything else that
decides the numbers (encoder with its weights and front-end constants, pooling, length policy). An
entry is one safetensors file, written under a temporary name and then renamed, so that a run
killed at any moment leaves whole entries only, and two processes can share a store: at worst both
compute the same entry and the later rename wins with the same content. Its header holds its key and
the digest of its arrays; an entry that is not what was written is set aside and computed anew.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firstshot.disk.cache_folder import cache_folder
from firstshot.disk.caches import (
    ASIDE,
    digest_of_json,
    pack_arrays,
    set_aside,
    unpack_arrays,
    warn_of_damage,
)
from firstshot.disk.files import write_atomically
from firstshot.errors import OutputError, ParameterError, cannot_write, warn
from firstshot.messages import choose_one_of
from firstshot.numbers import check_number

PRECISIONS = {"float32": np.float32, "float16": np.float16}
SCHEMA = 2
"""Entries of 1 had no digest; they are not found any more, and `prune` deletes them."""
LEFTOVER_SECONDS = 86400.0
MOST_DAYS = 36525.0
"""A century: no entry is older."""


def default_store_folder() -> Path:
    """Return where embeddings are kept if no folder is named; see `cache_folder`."""
    return cache_folder() / "embeddings"


def entry_key(samples_digest: str, recipe: Mapping[str, object]) -> str:
    """Return the hex key of one clip's entry under one recipe (encoder, pooling, length policy)."""
    return digest_of_json([SCHEMA, samples_digest, dict(recipe)])


@dataclass(frozen=True)
class StoreSummary:
    """How many entries a store holds, and their size in bytes."""

    entries: int
    size: int


@dataclass(frozen=True)
class EmbeddingStore:
    """Embeddings on disk, one file per clip and recipe.

    Parameters
    ----------
    folder : Path
        Where the entries lie; made when the first one is written.
    precision : "float32" or "float16"
        How embeddings are kept. float16 halves the size and rounds to three decimal digits; it is
        part of the key, so entries of the two precisions never mix.
    required : bool
        Whether a folder that cannot be written is an error; else a warning says once that nothing
        is kept, and the work goes on.
    """

    folder: Path
    precision: str = "float32"
    required: bool = True
    _refused: list[OutputError] = field(default_factory=list, init=False, repr=False, compare=False)
    _damaged: set[Path] = field(default_factory=set, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ParameterError(
                f"store precision {self.precision!r}: {choose_one_of(self.precision, PRECISIONS)}"
            )

    def load(self, key: str) -> dict[str, NDArray[np.float32]] | None:
        """Return the arrays of an entry as float32, or None where it is absent or damaged.

        A damaged one is set aside: one whose content is not what was written, that is another
        key's, or that is not of this precision. The first one of a store is warned of.
        """
        path = self._path(key)
        try:
            arrays = self._unpack(key, path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            self._set_aside(path, error)
            return None
        except OSError as error:
            raise OutputError(
                f"{path}: cannot be read ({error.strerror or error}); check its rights, or name "
                "another folder for the embedding store"
            ) from error
        return {name: array.astype(np.float32, copy=False) for name, array in arrays.items()}

    def save(
        self, key: str, arrays: Mapping[str, NDArray[np.float32]]
    ) -> dict[str, NDArray[np.float32]]:
        """Write an entry; return its arrays as `load` would, so a first run equals a second."""
        with np.errstate(over="ignore"):
            kept = {
                name: np.ascontiguousarray(array, dtype=PRECISIONS[self.precision])
                for name, array in arrays.items()
            }
        for name, array in kept.items():
            if np.isinf(array).any() and np.isfinite(arrays[name]).all():
                raise ParameterError(
                    f"store precision {self.precision} cannot hold values of {name} up to "
                    f"{np.abs(arrays[name]).max():.3g}; use float32"
                )
        if not self._refused:
            self._write(self._path(key), pack_arrays(key, kept))
        return {name: array.astype(np.float32) for name, array in kept.items()}

    def _write(self, path: Path, content: bytes) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
        except OSError as error:
            full = "free some space or " if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
            advice = f"{full}name another folder for the embedding store"
            refused = cannot_write(self.folder, error, advice)
            if self.required:
                raise refused from error
            self._refused.append(refused)
            warn(f"{refused} (--no-store keeps none); embeddings are not kept")

    def summary(self) -> StoreSummary:
        """Count the entries and their bytes."""
        sizes = [stat.st_size for _, stat in self._entries()]
        return StoreSummary(len(sizes), sum(sizes))

    def prune(self, older_than_days: float = 0.0) -> StoreSummary:
        """Delete entries last written more than that many days ago; return what was deleted.

        What killed runs left half-written, and damaged entries, are deleted too, a day after they
        were last written to.
        Raises ParameterError for days below 0 or not finite, before anything is deleted.
        """
        check_number("older_than_days", older_than_days, 0.0, MOST_DAYS)
        now = time.time()
        limit = now - older_than_days * 86400.0
        deleted = [(path, stat) for path, stat in self._entries() if stat.st_mtime <= limit]
        leftovers = [*self._entries(".*.part"), *self._entries(f"*{ASIDE}")]
        left = [path for path, stat in leftovers if stat.st_mtime <= now - LEFTOVER_SECONDS]
        for path in (*left, *(path for path, _ in deleted)):
            path.unlink(missing_ok=True)
        return StoreSummary(len(deleted), sum(stat.st_size for _, stat in deleted))

    def _unpack(self, key: str, content: bytes) -> dict[str, NDArray[np.float32]]:
        arrays = unpack_arrays(key, content)
        wanted = np.dtype(PRECISIONS[self.precision])
        for array in arrays.values():
            if array.dtype != wanted:
                raise ValueError(f"it holds {array.dtype} where {wanted} is kept")
        return arrays

    def _set_aside(self, path: Path, reason: ValueError) -> None:
        if self._damaged:
            set_aside(path)  # said of the first one: a bad disk has thousands of them
        else:
            then = "the clip is embedded anew, as are others whose entries are damaged"
            warn_of_damage(path, reason, then)
        self._damaged.add(path)

    def _path(self, key: str) -> Path:
        return self.folder / self.precision / key[:2] / f"{key}.safetensors"

    def _entries(self, names: str = "*.safetensors") -> list[tuple[Path, os.stat_result]]:
        entries = []
        for path in sorted(self.folder.glob(f"float*/??/{names}")):
            # Another process may prune the store meanwhile.
            with contextlib.suppress(FileNotFoundError):
                entries.append((path, path.stat()))
        return entries
