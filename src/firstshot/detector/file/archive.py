"""The detector file `*.firstshot`: a zip of the arrays, the members and a manifest.

- `bank.safetensors`: embeddings, transforms, states of the normalisers, scores;
- `members.csv`: clip, domain, digest of its samples, one row per bank member; where a name is not
  plain text the first column is `clip_written`, and holds what `write_name` of `names` writes;
- `manifest.json`: schema number, settings, encoder with its fingerprint, threshold, versions, a
  self-check score, where clips came from that were added later, and the SHA-256 of the two other
  members and of the manifest itself.

Members are stored, never compressed, so that none takes more memory than the file has bytes; a
compressed one is refused before it is read. Every array begins at a multiple of 64 bytes of the
file, so that a file of `mapped.MAPPED_FROM` bytes or more is mapped and not loaded: its arrays are
read-only, their pages are read from the disk when they are used, and they stay the same when the
file is replaced by a rename. They change when the file is written to in place: `check_unwritten`
raises an error before they are used again. Verifying reads the file once, by blocks: about a second
for 1.5 GB. Windows does not let a mapped file be replaced; there arrays are loaded.

No member holds code, and none is unpickled. To change the format: raise `SCHEMA`, keep the branch
that reads the old number, and store a file of the old schema under tests/. Schema 1 had the members
in another order, arrays at any place, and no state of the normalisers. Schema 2 had no views.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from firstshot.detector.file.mapped import is_mapped
from firstshot.detector.file.members import MemberRow, members_from_csv, members_to_csv
from firstshot.detector.file.tensors import pack, unpack
from firstshot.disk.documents import parse_json
from firstshot.disk.files import write_result
from firstshot.disk.listing import MISSING, why_no_file
from firstshot.errors import DetectorFileError, OutputError
from firstshot.messages import shown_value

SCHEMA = 3
_BANK, _TABLE, _MANIFEST = "bank.safetensors", "members.csv", "manifest.json"
_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError),
    *(KeyError, ValueError, TypeError, RuntimeError, csv.Error, StopIteration),
)
"""What reading something else than a whole zip with a manifest raises."""

MOST_MANIFEST = 1 << 20
"""Bytes of a manifest, which has some thousand."""
_BLOCK = 1 << 20
_SIGNATURE, _LOCAL_HEADER = b"PK\3\4", struct.Struct("<4s22x2H")
"""Of a zip's member: its signature, and the lengths of name and extra field before its content."""


def write_detector_file(
    path: Path,
    manifest: dict[str, Any],
    arrays: dict[str, NDArray[Any]],
    members: Sequence[MemberRow],
    overwrite: bool = True,
) -> None:
    """Write the file in one step; an existing one is replaced whole or, without `overwrite`, kept.

    The arrays go to the disk piece by piece and are not copied; they may be those of the very file
    that is replaced.
    """
    # Plain numbers and text now, so that what is hashed here is what a reader hashes.
    manifest = {"schema": SCHEMA, **json.loads(json.dumps(manifest, default=_plain))}

    def write(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            large = sum(array.nbytes for array in arrays.values()) > zipfile.ZIP64_LIMIT // 2
            with archive.open(_member(_BANK), "w", force_zip64=large) as bank:
                # The zip's own header of this member is written by now: here its content begins.
                digest = _write_hashed(bank, pack(arrays, file.tell()))
            table = members_to_csv(members)
            archive.writestr(_member(_TABLE), table)
            manifest["sha256"] = {_BANK: digest, _TABLE: hashlib.sha256(table).hexdigest()}
            manifest["sha256"]["manifest"] = _digest(manifest)
            text = json.dumps(manifest, indent=2)
            if len(text) > MOST_MANIFEST:
                raise OutputError(
                    f"{path}: its manifest would have {len(text)} bytes, {MOST_MANIFEST} at most; "
                    "the bank was edited in too many pieces, fit it anew"
                )
            archive.writestr(_member(_MANIFEST), text)

    write_result(path, write, overwrite)


def is_detector_file(path: Path) -> bool:
    """Tell whether a file holds what detector files hold; nothing is checked."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {_BANK, _TABLE, _MANIFEST} <= set(archive.namelist())
    except _DAMAGE:
        return False


def _member(name: str) -> zipfile.ZipInfo:
    """Return a member with a fixed date, which makes equal detectors equal files."""
    return zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))


def _write_hashed(file: Any, pieces: Iterable[memoryview]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
        file.write(piece)
    return digest.hexdigest()


def read_detector_file(
    path: Path,
) -> tuple[dict[str, Any], dict[str, NDArray[Any]], list[MemberRow]]:
    """Read and verify a file; return (manifest, arrays, members), the arrays mapped and read-only.

    Raises
    ------
    DetectorFileError
        The file is missing, truncated, altered, not a detector, or of a newer schema.
    """
    why = why_no_file(path)
    if why not in (None, MISSING):  # a pipe would be waited for without end
        raise DetectorFileError(
            f"{path}: {why}; name a file that `firstshot fit` wrote (of a bundle, the one that it "
            "was exported from)"
        )
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            _check_members(path, archive)
            manifest = parse_json(archive.read(_MANIFEST), MOST_MANIFEST)
            schema = manifest["schema"]
            _check_schema(path, schema)
            block, digest = _bank(file, archive)
            table = archive.read(_TABLE)
            _verify(path, manifest, digest, table)
            return manifest, unpack(block), members_from_csv(table)
    except FileNotFoundError as error:
        raise DetectorFileError(
            f"{path}: no such detector file; `firstshot fit NORMAL_DIR -o {path}` makes one"
        ) from error
    except _DAMAGE as error:
        raise DetectorFileError(
            f"{path}: not a whole detector file ({error or type(error).__name__}); it is truncated "
            "or something else, copy it again or fit anew"
        ) from error


def _check_members(path: Path, archive: zipfile.ZipFile) -> None:
    """Refuse members that are missing, there twice, compressed, or longer than they may be."""
    names = archive.namelist()
    for name in (_BANK, _TABLE, _MANIFEST):
        info = archive.getinfo(name)
        if names.count(name) > 1:
            raise zipfile.BadZipFile(f"{name} is in it twice")
        if info.flag_bits & 1 or info.compress_type != zipfile.ZIP_STORED:
            raise DetectorFileError(
                f"{path}: {name} is compressed or encrypted, and may take far more memory than the "
                "file; firstshot stores it as it is, copy the file that `firstshot fit` wrote"
            )
        if info.file_size != info.compress_size:
            raise zipfile.BadZipFile(f"{name} says that it has two sizes")
    if archive.getinfo(_MANIFEST).file_size > MOST_MANIFEST:
        raise zipfile.BadZipFile(f"{_MANIFEST} has more than {MOST_MANIFEST} bytes")


def _check_schema(path: Path, schema: Any) -> None:
    if not isinstance(schema, int) or isinstance(schema, bool) or not 1 <= schema <= SCHEMA:
        raise DetectorFileError(
            f"{path}: schema {shown_value(schema)} is newer than this firstshot reads ({SCHEMA}) "
            "or none at all; update firstshot or fit anew"
        )


def _bank(file: BinaryIO, archive: zipfile.ZipFile) -> tuple[NDArray[np.uint8], str]:
    """Return the bytes of the arrays, mapped if they can be, and their digest.

    The digest is of what is read by blocks and not of the mapping, whose pages would count as this
    process's memory.
    """
    info = archive.getinfo(_BANK)
    if not is_mapped(os.fstat(file.fileno()).st_size):
        content = archive.read(info)
        return np.frombuffer(content, np.uint8), hashlib.sha256(content).hexdigest()
    file.seek(info.header_offset)
    signature, name, extra = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    if signature != _SIGNATURE:
        raise zipfile.BadZipFile(f"{_BANK} does not begin where it should")
    start = file.seek(name + extra, os.SEEK_CUR)
    digest, left = hashlib.sha256(), info.file_size
    while left:
        piece = file.read(min(left, _BLOCK))
        if not piece:
            raise EOFError(f"{_BANK} ends too early")
        digest.update(piece)
        left -= len(piece)
    block = np.memmap(file, np.uint8, "r", offset=start, shape=(info.file_size,))
    return block.view(np.ndarray), digest.hexdigest()


def _verify(path: Path, manifest: dict[str, Any], bank: str, table: bytes) -> None:
    promised = manifest.get("sha256")
    if not isinstance(promised, dict):
        raise DetectorFileError(
            f"{path}: its manifest lacks the digests; copy it again or fit anew"
        )
    found = {
        _BANK: bank,
        _TABLE: hashlib.sha256(table).hexdigest(),
        "manifest": _digest(manifest),
    }
    for name, digest in found.items():
        if promised.get(name) != digest:
            raise DetectorFileError(
                f"{path}: {name} was altered after the file was written; copy it again or fit anew"
            )


def _digest(manifest: dict[str, Any]) -> str:
    """Hash a manifest without its own digest."""
    others = {k: v for k, v in manifest.get("sha256", {}).items() if k != "manifest"}
    text = json.dumps({**manifest, "sha256": others}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    """Return a numpy number as Python's, and anything else (a path, say) as text."""
    return value.item() if isinstance(value, np.generic) else str(value)
