"""The cache of converted weights: a published file is converted once and then found by its name.

Input: weights that were read, and the SHA-256 of the file they came from. Output: the same weights
from a safetensors file. The folder is `weights` in the cache folder, and holds

- ``NAME-DIGEST.safetensors``: float32 tensors under the network's names; DIGEST is that of the
  published file, the header holds a hash of the content and BEATs' configuration;
- ``NAME.json``: which of them serves a name alone, and where it came from (`Pointer`).

Entries are written under another name and then renamed, so that two processes may convert the same
file at once. An entry whose content is not what its header says counts as absent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firstshot.cache_folder import cache_folder
from firstshot.encoders.catalog import EncoderRecord
from firstshot.encoders.checkpoint_files import CFG
from firstshot.encoders.weights import Weights, read_weights
from firstshot.errors import OutputError, WeightsError
from firstshot.files import replacing, write_atomically
from firstshot.resumable import refuse_link

HASH = "sha256"


@dataclass(frozen=True)
class Pointer:
    """Which entry serves a name without a path.

    Attributes
    ----------
    entry : str
        File name of the entry.
    source : str
        Where the published file came from: a path, or its address with the commit.
    source_sha256 : str
        Hex digest of the published file.
    weights_sha256 : str
        Hex digest of the tensors' content.
    """

    entry: str
    source: str
    source_sha256: str
    weights_sha256: str


def weights_folder() -> Path:
    """Return the cache's folder of weights."""
    return cache_folder() / "weights"


def entry_path(record: EncoderRecord, source_sha256: str) -> Path:
    """Return where the conversion of a published file lies, or would lie."""
    return weights_folder() / f"{record.name}-{source_sha256}.safetensors"


def pointer_path(record: EncoderRecord, variant: str | None = None) -> Path:
    """Return where the cache says what serves a name; the default variant needs no name."""
    default = variant is None or variant == next(iter(record.hub), None)
    return weights_folder() / (
        f"{record.name}.json" if default else f"{record.name}.{variant}.json"
    )


def read_pointer(record: EncoderRecord, variant: str | None = None) -> Pointer | None:
    """Return what serves a name, or None where nothing does; needs no torch, reads no weights."""
    try:
        pointer = Pointer(**json.loads(pointer_path(record, variant).read_text("utf-8")))
        return pointer if (weights_folder() / pointer.entry).is_file() else None
    except (OSError, ValueError, TypeError, OutputError):
        return None


def write_pointer(record: EncoderRecord, variant: str | None, pointer: Pointer) -> None:
    """Let a name alone find an entry.

    Raises
    ------
    OutputError
        The cache cannot be written, or a link lies where the file should.
    """
    path = pointer_path(record, variant)
    refuse_link(path)
    try:
        write_atomically(path, json.dumps(vars(pointer), indent=2) + "\n")
    except OSError as error:
        raise cannot_write(path.parent, error) from error


def load_entry(record: EncoderRecord, entry: Path, settings: Mapping[str, Any]) -> Weights | None:
    """Load an entry; None where it is absent, damaged, or not what its header says.

    Raises
    ------
    WeightsError
        The entry is whole, but its tensors do not fit the network under these settings.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(entry, framework="numpy") as file:
            promised = (file.metadata() or {}).get(HASH)
    except (OSError, SafetensorError):
        return None
    try:
        weights = read_weights(record, entry, settings)
    except WeightsError:
        # A damaged header looks like another network; a whole entry fitted the usual settings.
        if not settings or load_entry(record, entry, {}) is None:
            return None
        raise
    return weights if promised == _hash(weights) else None


def write_entry(entry: Path, weights: Weights) -> None:
    """Write an entry in one step.

    Raises
    ------
    OutputError
        The folder cannot be made or written to, or the disk is full.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    header = {HASH: _hash(weights), "format": "pt"}
    if weights.cfg is not None:
        header[CFG] = json.dumps(weights.cfg, sort_keys=True, default=str)
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        with replacing(entry) as draft:
            save_file(weights.tensors, draft, metadata=header)
    except (OSError, SafetensorError) as error:
        raise cannot_write(entry.parent, error) from error


def cannot_write(folder: Path, error: Exception) -> OutputError:
    """Return the error for a cache that cannot be written."""
    reason = getattr(error, "strerror", None) or " ".join(str(error).split())
    return OutputError(
        f"{folder}: cannot write weights ({reason}); free some space or set FIRSTSHOT_CACHE to "
        "another folder"
    )


def _hash(weights: Weights) -> str:
    text = json.dumps([weights.digest, weights.cfg], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
