"""The cache of converted weights: a published file is converted once and then found by its name.

Input: weights that were read, and the SHA-256 of the file they came from. Output: the same weights
from a safetensors file. The folder is `weights` in the cache folder, and holds

- ``NAME-DIGEST.safetensors``: float32 tensors under the network's names; DIGEST is that of the
  published file, the header holds the entry's own name, a hash of the content and BEATs'
  configuration;
- ``NAME.json``: which of them serves a name alone, and where it came from (`Pointer`).

Entries are written under another name and then renamed, so that two processes may convert the same
file at once. An entry that is not what its name, its header or its pointer says is set aside with
a warning.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firstshot.disk.cache_folder import cache_folder
from firstshot.disk.caches import warn_of_damage
from firstshot.disk.documents import Table, read_json
from firstshot.disk.files import replacing, write_atomically
from firstshot.disk.resumable import refuse_link
from firstshot.encoders.weights.catalog import EncoderRecord
from firstshot.encoders.weights.files import CFG, read_checkpoint
from firstshot.encoders.weights.read import Weights, hash_tensors, read_weights
from firstshot.errors import OutputError, WeightsError, cannot_write, warn

ADVICE = "free some space or set FIRSTSHOT_CACHE to another folder"
HASH, ENTRY = "sha256", "entry"


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
    return weights_folder() / (
        f"{record.name}.json" if record.is_default(variant) else f"{record.name}.{variant}.json"
    )


def read_pointer(record: EncoderRecord, variant: str | None = None) -> Pointer | None:
    """Return what serves a name, or None where nothing does; needs no torch, reads no weights."""
    try:
        path = pointer_path(record, variant)
        table = Table.of(read_json(path)).only(Pointer.__dataclass_fields__)
        pointer = Pointer(**{name: table.text(name) for name in Pointer.__dataclass_fields__})
        if Path(pointer.entry).name != pointer.entry:
            raise ValueError(f"entry is {pointer.entry!r}, expected a file of this folder")
        return pointer if (weights_folder() / pointer.entry).is_file() else None
    except (OSError, OutputError):
        return None
    except ValueError as error:
        warn(f"{path}: {error}; the weights are looked for as if it were not there")
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
        raise cannot_write(path.parent, error, ADVICE) from error


def load_entry(
    record: EncoderRecord,
    entry: Path,
    settings: Mapping[str, Any],
    weights_sha256: str | None = None,
) -> Weights | None:
    """Load an entry; None where it is absent, or, with a warning, where it is damaged.

    `weights_sha256` is what a pointer says of its content.

    Raises
    ------
    WeightsError
        The entry is whole, but its tensors do not fit the network under these settings.
    """
    if not entry.is_file():
        return None
    header = _read_header(entry)
    try:
        weights = read_weights(record, entry, settings)
    except WeightsError:
        if _is_whole(record, entry, header):
            if settings:
                raise
            return None  # it was converted under other settings
    else:
        # Older entries have no name inside; only the pointer tells one from another.
        names = (entry.name,) if weights_sha256 is None else (entry.name, None)
        intact = header.get(HASH) == _hash(weights.digest, weights.cfg)
        if intact and header.get(ENTRY) in names and weights_sha256 in (None, weights.digest):
            return weights
    warn_of_damage(entry, "not the weights that were written there", "they are looked for anew")
    return None


def _read_header(entry: Path) -> Mapping[str, str]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(entry, framework="numpy") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError):
        return {}


def _is_whole(record: EncoderRecord, entry: Path, header: Mapping[str, str]) -> bool:
    """Tell whether an entry holds what was written, whatever network that is of."""
    try:
        found = read_checkpoint(entry, record.advice())
    except WeightsError:
        return False
    return header.get(HASH) == _hash(hash_tensors(found.tensors), found.cfg)


def write_entry(entry: Path, weights: Weights) -> None:
    """Write an entry in one step.

    Raises
    ------
    OutputError
        The folder cannot be made or written to, or the disk is full.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    header = {ENTRY: entry.name, HASH: _hash(weights.digest, weights.cfg), "format": "pt"}
    if weights.cfg is not None:
        header[CFG] = json.dumps(weights.cfg, sort_keys=True, default=str)
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        with replacing(entry) as draft:
            save_file(weights.tensors, draft, metadata=header)
    except (OSError, SafetensorError) as error:
        raise cannot_write(entry.parent, error, ADVICE) from error


def _hash(digest: str, cfg: Mapping[str, Any] | None) -> str:
    text = json.dumps([digest, cfg], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
