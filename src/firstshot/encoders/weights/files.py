"""A published weights file becomes named tensors, without running anything that is in the file.

Input: a safetensors file, or a pickle that holds nothing but plain containers and tensors. Output:
the tensors under the file's own names and, where it has one, the network's configuration. What
looks like no such file (a web page, an archive, a pointer) is named for what it is.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from firstshot.disk.archives import DAMAGED
from firstshot.disk.documents import Table, parse_json
from firstshot.disk.listing import check_file
from firstshot.encoders.weights.pickled_code import find_code, is_pickle_with_code
from firstshot.errors import WeightsError
from firstshot.messages import shown

Kind = Literal["safetensors", "zip pickle", "old pickle"]

CFG = "cfg"
"""Where BEATs keeps its configuration: an entry of the pickle, or the header of a safetensors."""
_PICKLE_STARTS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_LONGEST_HEADER = 100_000_000
_NAMES_SHOWN = 3


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a file under its own names, perhaps nested, and its configuration."""

    tensors: Mapping[str, Any]
    cfg: Mapping[str, Any] | None = None


def kind_of(path: Path, advice: str) -> Kind:
    """Return the format of a weights file by its content, whatever its name ends with.

    Parameters
    ----------
    path : Path
        The file.
    advice : str
        What the user can do instead; the end of every message.

    Raises
    ------
    WeightsError
        There is no such file, it cannot be read, or it is something else than weights.
    """
    try:
        check_file(path)
        with path.open("rb") as file:
            start = file.read(512)
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: no such weights file; {advice}") from error
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror}); {advice}") from error
    if not start:
        raise WeightsError(f"{path}: empty, expected a weights file; {advice}")
    if start[8:9] == b"{" and 2 <= int.from_bytes(start[:8], "little") <= _LONGEST_HEADER:
        return "safetensors"
    if start.startswith(b"PK\x03\x04"):
        _check_archive(path, advice)
        return "zip pickle"
    if start.startswith(_PICKLE_STARTS) or is_pickle_with_code(path):
        return "old pickle"
    raise WeightsError(f"{path}: {_looks_like(start)}, expected a weights file; {advice}")


def _looks_like(start: bytes) -> str:
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(b"<"):
        return "a web page (the download needs a browser, or the link is no longer good)"
    if text.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file itself (run `git lfs pull` in that repository)"
    return f"neither safetensors nor a PyTorch file (it begins with {start[:8].hex()})"


def _check_archive(path: Path, advice: str) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            names, entries = archive.namelist(), archive.infolist()
    except (*DAMAGED, OSError) as error:
        raise WeightsError(f"{path}: truncated or damaged ({shown(error)}); {advice}") from error
    if not any(name.endswith("data.pkl") for name in names):
        inside = [name for name in names if name.endswith((".pt", ".pth", ".safetensors"))]
        named = f", give {inside[0]} from inside it" if inside else ""
        raise WeightsError(
            f"{path}: an archive, expected a weights file: unpack it{named}; {advice}"
        )
    if any(name.endswith("/constants.pkl") for name in names):
        raise WeightsError(
            f"{path}: a TorchScript program, which is code; it was not run and is never loaded; "
            f"{advice}"
        )
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        # torch would unpack them in memory, to whatever size.
        raise WeightsError(
            f"{path}: holds compressed entries, which torch never writes; it may be made to fill "
            f"the memory; {advice}"
        )


def read_checkpoint(path: Path, advice: str) -> Checkpoint:
    """Read the tensors of a published file.

    Raises
    ------
    WeightsError
        The file is missing, damaged, no weights file, or a pickle that holds more than tensors and
        plain containers (which could run code, and is never loaded).
    """
    kind = kind_of(path, advice)
    return _read_safetensors(path, advice) if kind == "safetensors" else _read(path, kind, advice)


def _read_safetensors(path: Path, advice: str) -> Checkpoint:
    from safetensors import SafetensorError, safe_open

    try:
        # ... as a loop over names, because the file object is no mapping.
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        cfg = Table.of(parse_json(header[CFG]), CFG).values if CFG in header else None
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path}: truncated or damaged ({shown(error)}); {advice}") from error
    return Checkpoint(tensors, cfg)


def _read(path: Path, kind: Kind, advice: str) -> Checkpoint:
    import torch

    try:
        # mmap reads only what is used: training files hold an optimiser of twice the size too.
        found = torch.load(
            path, map_location="cpu", weights_only=True, mmap=kind == "zip pickle" or None
        )
    except Exception as error:
        # torch reports damage, disallowed types and unknown formats by classes of many modules.
        raise WeightsError(_why_not_loaded(path, str(error), advice)) from error
    if not isinstance(found, Mapping):
        raise WeightsError(
            f"{path}: holds a {type(found).__name__}, expected tensors by name; {advice}"
        )
    cfg = found.get(CFG)
    return Checkpoint(found, cfg if isinstance(cfg, Mapping) else None)


def _why_not_loaded(path: Path, reason: str, advice: str) -> str:
    # Where the names are hidden from `find_code`, torch still gives the one that it refused.
    refused = re.search(
        r"(?:Unsupported class|(?i:unsupported global):? ?GLOBAL) ([\w.]+) ", reason
    )
    names = find_code(path) or (refused.groups() if refused else ())
    if names:
        more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
        return (
            f"{path}: a pickle that holds more than tensors ({', '.join(names[:_NAMES_SHOWN])}"
            f"{more}), which is code that would run on loading; it was not run, and such a file is "
            "never loaded; take the published safetensors file, or save the tensors as one on a "
            f"machine where you trust it; {advice}"
        )
    reason = reason.rpartition("WeightsUnpickler error: ")[2]
    first = next(iter(reason.strip().splitlines()), "no reason given")
    return f"{path}: truncated or damaged ({shown(first)}); {advice}"
