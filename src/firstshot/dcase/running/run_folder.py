"""The output folder of a run or a sweep: one has it at a time, and complete results are not lost.

`run.json` says to which run a folder belongs. The same run started again continues in its folder. A
different run is refused if there are results, unless it may overwrite them. Earlier results stay
until the new ones are complete; then only the files that a run writes are replaced. A lock keeps
other runs out.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firstshot.dcase.evaluation.score_files import SCORES, file_name
from firstshot.disk.documents import read_json
from firstshot.disk.drafts import remove_leftovers
from firstshot.disk.files import check_not_read_only, write_result
from firstshot.disk.locks import hold_folder
from firstshot.errors import FirstshotError, OutputError, errors_name

IDENTITY = "run.json"
RESULTS = "results.json"
TRIALS = "trials"
"""Folder of the score files of each trial of a trained baseline, by its seed."""
_DRAFT = ".results.part"
"""Folder of new results that are not complete; only the process that writes them uses it."""


@dataclass(frozen=True)
class FolderKind:
    """What a folder belongs to: its name, identity file, keys in that file, and result files.

    The keys are in the identity of every such folder, and not in a file of another program.
    """

    name: str
    identity: str
    keys: frozenset[str]
    results: tuple[str, ...]


RUN = FolderKind(
    "run",
    IDENTITY,
    frozenset({"data", "system"}),
    (
        "results.csv",
        RESULTS,
        "report.html",
        "anomaly_score_*.csv",
        "decision_result_*.csv",
        f"{TRIALS}/*/anomaly_score_*.csv",
        f"{TRIALS}/*/decision_result_*.csv",
    ),
)


@dataclass(frozen=True)
class Claim:
    """A folder that belongs to this run.

    Attributes
    ----------
    folder : Path
        The folder.
    identity : dict
        Two runs with the same identity are the same run: data, machines, system.
    stands : bool
        Whether it contains results, of this run or of the one that is overwritten.
    """

    folder: Path
    identity: dict[str, Any]
    stands: bool

    def has_section(self, machine: str, section: str) -> bool:
        """Return whether earlier scores of a section lie in the folder."""
        return self.stands and (self.folder / file_name(SCORES, machine, section)).exists()

    def replace_results(self, write: Callable[[Path], None]) -> None:
        """Let `write` fill a folder with all results, and replace the earlier ones by them.

        An error in writing leaves the earlier results as they are.

        Raises
        ------
        OutputError
            The results cannot be written, or the earlier ones not be replaced.
        """
        draft = self.folder / _DRAFT
        try:
            with errors_name(self.folder, draft):
                write_result(draft / IDENTITY, identity_text(self.identity))
                write(draft)
                _move_in(draft, self.folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def claimed(
    folder: Path, identity: dict[str, Any], overwrite: bool = False, kind: FolderKind = RUN
) -> Iterator[Claim]:
    """Hold a folder for this run from beginning to end.

    An error that leaves nothing but the claim in a new folder removes the claim too.

    Raises
    ------
    OutputError
        Another process writes to the folder, it contains something else than this run, or it
        cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file; name a folder for the results")
    with hold_folder(folder):
        new = not (folder / kind.identity).exists()
        claim = claim_folder(folder, identity, overwrite, kind)
        shutil.rmtree(folder / _DRAFT, ignore_errors=True)  # left by a killed run
        try:
            yield claim
        except FirstshotError:
            if new and not _results(folder, kind):
                (folder / kind.identity).unlink(missing_ok=True)
            raise


def claim_folder(
    folder: Path, identity: dict[str, Any], overwrite: bool = False, kind: FolderKind = RUN
) -> Claim:
    """Make `folder` this run's own, or raise OutputError that says to whom it belongs.

    If `overwrite` replaces another run's results, the folder stays that run's until the new results
    are complete.
    """
    found = _read_identity(folder, kind)
    identity = json.loads(json.dumps(identity))
    results = _results(folder, kind)
    damaged = _is_damaged(folder / kind.identity) and _has_only(folder, kind, results)
    if damaged and results and not overwrite:
        raise OutputError(
            f"{folder}: its {kind.identity} is damaged, so the owner of the results is not known; "
            f"choose another folder, or add --overwrite to start the {kind.name} again"
        )
    if found is None and folder.is_dir() and not damaged:
        others = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
        if others:
            raise OutputError(
                f"{folder}: holds {others[0]}, not a {kind.name} of firstshot; choose another "
                "folder"
            )
    if found is not None and found != identity and not overwrite and results:
        raise OutputError(
            f"{folder}: holds the results of another {kind.name} "
            f"({_difference(found, identity)}); choose another folder, or add --overwrite"
        )
    for path in (folder, folder / kind.identity, *results):
        check_not_read_only(path)
    if found is None or not results:
        write_result(folder / kind.identity, identity_text(identity))
    return Claim(folder, identity, bool(results))


def identity_text(identity: dict[str, Any]) -> str:
    """Return an identity as its file has it."""
    return json.dumps(identity, indent=2) + "\n"


def _read_identity(folder: Path, kind: FolderKind) -> dict[str, Any] | None:
    try:
        identity = read_json(folder / kind.identity)
    except (OSError, ValueError):
        return None
    return identity if isinstance(identity, dict) and identity.keys() >= kind.keys else None


def _difference(found: Any, wanted: Any, place: str = "") -> str:
    """Return the first difference of two identities, down to the setting itself."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in [*wanted, *found]:
            if found.get(key) != wanted.get(key):
                return _difference(found.get(key), wanted.get(key), f"{place} {key}".strip())
    return f"{place}: {found!r}, now {wanted!r}"


def _is_damaged(path: Path) -> bool:
    """Return whether a file exists that is not JSON; the file of another program is JSON."""
    try:
        read_json(path)
    except ValueError:
        return True
    except OSError:
        pass
    return False


def _has_only(folder: Path, kind: FolderKind, results: list[Path]) -> bool:
    """Return whether a folder has nothing but results and an identity of its kind."""
    ours = {path.relative_to(folder).parts[0] for path in results} | {kind.identity}
    return all(path.name in ours or path.name[:1] == "." for path in folder.iterdir())


def _results(folder: Path, kind: FolderKind) -> list[Path]:
    return sorted(path for pattern in kind.results for path in folder.glob(pattern))


def _move_in(draft: Path, folder: Path) -> None:
    """Replace a folder's results by those of a draft.

    results.json marks a finished run. It is removed first and moved last, so that a kill in
    between leaves an unfinished run.
    """
    new = [path.relative_to(draft) for path in draft.rglob("*") if path.is_file()]
    for name in new:
        if (folder / name).exists():
            (draft / name).chmod((folder / name).stat().st_mode & 0o7777)
    (folder / RESULTS).unlink(missing_ok=True)
    for old in _results(folder, RUN):
        if old.relative_to(folder) not in new:
            old.unlink()
            with suppress(OSError):  # a trial's folder with other files in it
                if old.parent != folder:
                    old.parent.rmdir()
    for name in sorted(new, key=lambda name: (name == Path(RESULTS), name)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder / name)
        (draft / name).replace(folder / name)
