"""The output folder of a run: claimed by one run, so that no other is overwritten silently.

`run.json` says which run a folder belongs to. The same run started again goes on in its folder; a
different one is refused once there are results to lose, unless told to overwrite, and then only the
files a run writes are removed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from firstshot.dcase.submission import DECISIONS, SCORES, file_name
from firstshot.documents import read_json
from firstshot.errors import FirstshotError, OutputError
from firstshot.files import write_result

IDENTITY = "run.json"
TRIALS = "trials"
"""Folder of the score files of each trial of a trained baseline, by its seed."""
_OUTPUTS = (
    "results.csv",
    "results.json",
    "report.html",
    "anomaly_score_*.csv",
    "decision_result_*.csv",
    f"{TRIALS}/*/anomaly_score_*.csv",
    f"{TRIALS}/*/decision_result_*.csv",
)


def claim_folder(folder: Path, identity: dict[str, Any], overwrite: bool = False) -> None:
    """Make `folder` this run's own, or raise OutputError saying whose it is.

    `identity` is what makes two runs the same run: data, system, settings.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file; name a folder for the results")
    found = _read_identity(folder / IDENTITY)
    identity = json.loads(json.dumps(identity))
    if found is not None and found != identity and not overwrite and _outputs(folder):
        raise OutputError(f"{folder}: {_difference(found, identity)}; {_WAY_OUT}")
    if found is None and folder.is_dir() and not overwrite:
        others = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
        if others:
            raise OutputError(f"{folder}: holds {others[0]}, not a run of firstshot; {_WAY_OUT}")
    if overwrite and found != identity:
        remove_outputs(folder)
    write_result(folder / IDENTITY, json.dumps(identity, indent=2) + "\n")


@contextmanager
def claimed(folder: Path, identity: dict[str, Any], overwrite: bool = False) -> Iterator[None]:
    """Claim a folder; a fault that leaves nothing in it but the claim takes that back too."""
    new = not (folder / IDENTITY).exists()
    claim_folder(folder, identity, overwrite)
    try:
        yield
    except FirstshotError:
        if new and not _outputs(folder):
            (folder / IDENTITY).unlink(missing_ok=True)
            with suppress(OSError):  # something else is in it
                folder.rmdir()
        raise


_WAY_OUT = "choose another folder, or add --overwrite"


def _read_identity(path: Path) -> dict[str, Any] | None:
    try:
        identity = read_json(path)
    except (OSError, ValueError):
        return None
    return identity if isinstance(identity, dict) else None


def _difference(found: Any, wanted: Any, place: str = "") -> str:
    """Say where two identities part, going down to the setting itself."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in [*wanted, *found]:
            if found.get(key) != wanted.get(key):
                return _difference(found.get(key), wanted.get(key), f"{place} {key}".strip())
    return f"holds the results of another run ({place}: {found!r}, now {wanted!r})"


def _outputs(folder: Path) -> list[Path]:
    return sorted(path for pattern in _OUTPUTS for path in folder.glob(pattern))


def remove_outputs(folder: Path) -> None:
    """Remove all that a run writes besides its identity, and nothing else."""
    _remove(folder, _outputs(folder))


def remove_section(folder: Path, machine: str, section: str) -> None:
    """Remove what an earlier run left of a section, so that old scores never pass for new ones."""
    names = [file_name(kind, machine, section) for kind in (SCORES, DECISIONS)]
    trials = [path for name in names for path in folder.glob(f"{TRIALS}/*/{name}")]
    _remove(folder, [*(folder / name for name in names), *trials])


def _remove(folder: Path, paths: Sequence[Path]) -> None:
    try:
        for path in paths:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be emptied ({error.strerror})") from error
