"""The output folder of a run: claimed by one run, so that no other is overwritten silently.

`run.json` says which run a folder belongs to. The same run started again goes on in its folder; a
different one is refused unless told to overwrite, and then only the files a run writes are removed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from firstshot.errors import OutputError
from firstshot.files import write_result

IDENTITY = "run.json"
_OUTPUTS = (
    IDENTITY,
    "results.csv",
    "results.json",
    "report.html",
    "anomaly_score_*.csv",
    "decision_result_*.csv",
)


def claim_folder(folder: Path, identity: dict[str, Any], overwrite: bool = False) -> None:
    """Make `folder` this run's own, or raise OutputError saying whose it is.

    `identity` is what makes two runs the same run: data, system, settings.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file; name a folder for the results")
    found = _read_identity(folder / IDENTITY)
    identity = json.loads(json.dumps(identity))
    if found is not None and found != identity and not overwrite:
        raise OutputError(f"{folder}: {_difference(found, identity)}; {_WAY_OUT}")
    if found is None and folder.is_dir() and not overwrite:
        others = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
        if others:
            raise OutputError(f"{folder}: holds {others[0]}, not a run of firstshot; {_WAY_OUT}")
    if overwrite and found != identity:
        _remove_outputs(folder)
    write_result(folder / IDENTITY, json.dumps(identity, indent=2) + "\n")


_WAY_OUT = "choose another folder, or add --overwrite"


def _read_identity(path: Path) -> dict[str, Any] | None:
    try:
        identity = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return identity if isinstance(identity, dict) else None


def _difference(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    changed = [key for key in wanted if found.get(key) != wanted[key]]
    if not changed:
        return "holds the results of another run"
    key = changed[0]
    return f"holds the results of another run ({key}: {found.get(key)!r}, now {wanted[key]!r})"


def _remove_outputs(folder: Path) -> None:
    try:
        for pattern in _OUTPUTS:
            for path in folder.glob(pattern):
                path.unlink()
    except OSError as error:
        raise OutputError(f"{folder}: cannot be emptied ({error.strerror})") from error
