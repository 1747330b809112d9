"""The detector file `*.firstshot`: a zip of a manifest, the bank's arrays and its members.

- `manifest.json`: schema number, settings, encoder with its fingerprint, threshold, versions, a
  self-check score, and the SHA-256 of the two other members and of the manifest itself;
- `bank.safetensors`: embeddings, transforms, calibration scores;
- `members.csv`: clip, domain, digest of its samples, one row per bank member.

No member holds code, and none is unpickled. To change the format: raise `SCHEMA`, keep the branch
that reads the old number, and store a file of the old schema under tests/.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstshot.errors import DetectorFileError
from firstshot.files import write_result

SCHEMA = 1
_MEMBERS = ("manifest.json", "bank.safetensors", "members.csv")
_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError),
    *(KeyError, ValueError, TypeError, RuntimeError),
)
"""What reading something else than a whole zip with a manifest raises."""


@dataclass(frozen=True)
class MemberRow:
    """A normal clip (or window of one) in the bank: its name, domain, and its samples' digest."""

    clip: str
    domain: str
    digest: str


def write_detector_file(
    path: Path,
    manifest: dict[str, Any],
    arrays: dict[str, NDArray[Any]],
    members: list[MemberRow],
) -> None:
    """Write the file in one step; an existing one is replaced whole or not at all."""
    from safetensors.numpy import save

    # Plain numbers and text now, so that what is hashed here is what a reader hashes.
    manifest = json.loads(json.dumps(manifest, default=_plain))
    bank = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    table = _members_as_csv(members)
    manifest = {
        "schema": SCHEMA,
        **manifest,
        "sha256": {
            "bank.safetensors": hashlib.sha256(bank).hexdigest(),
            "members.csv": hashlib.sha256(table).hexdigest(),
        },
    }
    manifest["sha256"]["manifest"] = _digest(manifest)
    contents = (json.dumps(manifest, indent=2).encode(), bank, table)
    buffer = io.BytesIO()
    # Stored, not deflated: embeddings hardly shrink, and every zlib deflates in a way of its own.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in zip(_MEMBERS, contents, strict=True):
            # A fixed date makes equal detectors equal files.
            archive.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), content)
    write_result(path, buffer.getvalue())


def read_detector_file(
    path: Path,
) -> tuple[dict[str, Any], dict[str, NDArray[Any]], list[MemberRow]]:
    """Read and verify a file; return (manifest, arrays, members).

    Raises
    ------
    DetectorFileError
        The file is missing, truncated, altered, not a detector, or of a newer schema.
    """
    from safetensors.numpy import load

    try:
        with zipfile.ZipFile(path) as archive:
            manifest_text, bank, table = (archive.read(name) for name in _MEMBERS)
        manifest = json.loads(manifest_text)
        schema = manifest["schema"]
    except FileNotFoundError as error:
        raise DetectorFileError(
            f"{path}: no such detector file; `firstshot fit NORMAL_DIR -o {path}` makes one"
        ) from error
    except _DAMAGE as error:
        raise DetectorFileError(
            f"{path}: not a whole detector file ({error or type(error).__name__}); it is truncated "
            "or something else, copy it again or fit anew"
        ) from error
    if not isinstance(schema, int) or not 1 <= schema <= SCHEMA:
        raise DetectorFileError(
            f"{path}: schema {schema!r} is newer than this firstshot reads ({SCHEMA}) or none at "
            "all; update firstshot or fit anew"
        )
    _verify(path, manifest, bank, table)
    return manifest, load(bank), _members_from_csv(table)


def _verify(path: Path, manifest: dict[str, Any], bank: bytes, table: bytes) -> None:
    promised = manifest.get("sha256")
    if not isinstance(promised, dict):
        raise DetectorFileError(
            f"{path}: its manifest lacks the digests; copy it again or fit anew"
        )
    found = {
        "bank.safetensors": hashlib.sha256(bank).hexdigest(),
        "members.csv": hashlib.sha256(table).hexdigest(),
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


def _members_as_csv(members: list[MemberRow]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["clip", "domain", "samples_sha256"])
    writer.writerows([m.clip, m.domain, m.digest] for m in members)
    return text.getvalue().encode("utf-8")


def _members_from_csv(table: bytes) -> list[MemberRow]:
    rows = csv.reader(io.StringIO(table.decode("utf-8"), newline=""))
    next(rows)
    return [MemberRow(*row) for row in rows]
