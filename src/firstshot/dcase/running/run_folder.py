"""The output folder of a run: held by one run at a time, and never emptied for a worse one.

`run.json` says which run a folder belongs to. The same run started again goes on in its folder; a
different one is refused once there are results to lose, unless told to overwrite. Earlier results
stay as they are until the new ones are complete; then only the files that a run writes are
replaced. While a run works, a lock keeps every other one out.
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
from firstshot.errors import FirstshotError, OutputError, cannot_write

IDENTITY = "run.json"
RESULTS = "results.json"
TRIALS = "trials"
"""Folder of the score files of each trial of a trained baseline, by its seed."""
_DRAFT = ".results.part"
"""Folder of new results that are not complete; of use only to the process that writes them."""
_OUTPUTS = (
    "results.csv",
    RESULTS,
    "report.html",
    "anomaly_score_*.csv",
    "decision_result_*.csv",
    f"{TRIALS}/*/anomaly_score_*.csv",
    f"{TRIALS}/*/decision_result_*.csv",
)
_MARKS = {"data", "system"}
"""What the identity of every run tells, and the run.json of another program does not."""


@dataclass(frozen=True)
class Claim:
    """A folder that belongs to this run.

    Attributes
    ----------
    folder : Path
        The folder.
    identity : dict
        What makes two runs the same run: data, machines, system.
    stands : bool
        Whether it holds results already, of this run or of the one that is overwritten.
    """

    folder: Path
    identity: dict[str, Any]
    stands: bool

    def has_section(self, machine: str, section: str) -> bool:
        """Tell whether earlier scores of a section lie in the folder."""
        return self.stands and (self.folder / file_name(SCORES, machine, section)).exists()

    def replace_results(self, write: Callable[[Path], None]) -> None:
        """Let `write` fill a folder with all results, and put them in the earlier ones' place.

        A fault in writing leaves the earlier results as they are.

        Raises
        ------
        OutputError
            The results cannot be written, or the earlier ones not be replaced.
        """
        draft = self.folder / _DRAFT
        try:
            write_result(draft / IDENTITY, _as_text(self.identity))
            write(draft)
            _move_in(draft, self.folder)
        except OutputError as error:
            # The place that the user named says more than the hidden one.
            raise OutputError(str(error).replace(str(draft), str(self.folder))) from error
        except OSError as error:
            raise cannot_write(self.folder, error) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def claimed(folder: Path, identity: dict[str, Any], overwrite: bool = False) -> Iterator[Claim]:
    """Hold a folder for this run from the first moment to the last.

    A fault that leaves nothing in a new folder but the claim takes that back too.

    Raises
    ------
    OutputError
        Another process writes to the folder, or it holds something else than this run, or it
        cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file; name a folder for the results")
    with hold_folder(folder):
        new = not (folder / IDENTITY).exists()
        claim = claim_folder(folder, identity, overwrite)
        shutil.rmtree(folder / _DRAFT, ignore_errors=True)  # what a killed run has left
        try:
            yield claim
        except FirstshotError:
            if new and not _outputs(folder):
                (folder / IDENTITY).unlink(missing_ok=True)
            raise


def claim_folder(folder: Path, identity: dict[str, Any], overwrite: bool = False) -> Claim:
    """Make `folder` this run's own, or raise OutputError saying whose it is.

    `identity` is what makes two runs the same run: data, system, settings. Where results of another
    run are to be overwritten, the folder stays that run's until the new results are complete.
    """
    found = _read_identity(folder / IDENTITY)
    identity = json.loads(json.dumps(identity))
    outputs = _outputs(folder)
    damaged = _is_damaged(folder / IDENTITY) and _is_run(folder, outputs)
    if damaged and outputs and not overwrite:
        raise OutputError(
            f"{folder}: its {IDENTITY} is damaged, so whose results these are cannot be told; "
            "choose another folder, or add --overwrite to run anew"
        )
    if found is None and folder.is_dir() and not damaged:
        others = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
        if others:
            raise OutputError(
                f"{folder}: holds {others[0]}, not a run of firstshot; choose another folder"
            )
    if found is not None and found != identity and not overwrite and outputs:
        raise OutputError(
            f"{folder}: {_difference(found, identity)}; choose another folder, or add --overwrite"
        )
    for path in (folder, folder / IDENTITY, *outputs):
        check_not_read_only(path)
    if found is None or not outputs:
        write_result(folder / IDENTITY, _as_text(identity))
    return Claim(folder, identity, bool(outputs))


def _as_text(identity: dict[str, Any]) -> str:
    return json.dumps(identity, indent=2) + "\n"


def _read_identity(path: Path) -> dict[str, Any] | None:
    try:
        identity = read_json(path)
    except (OSError, ValueError):
        return None
    return identity if isinstance(identity, dict) and identity.keys() >= _MARKS else None


def _difference(found: Any, wanted: Any, place: str = "") -> str:
    """Say where two identities part, going down to the setting itself."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in [*wanted, *found]:
            if found.get(key) != wanted.get(key):
                return _difference(found.get(key), wanted.get(key), f"{place} {key}".strip())
    return f"holds the results of another run ({place}: {found!r}, now {wanted!r})"


def _is_damaged(path: Path) -> bool:
    """Tell whether a file is there that is no JSON; another program's is."""
    try:
        read_json(path)
    except ValueError:
        return True
    except OSError:
        pass
    return False


def _is_run(folder: Path, outputs: list[Path]) -> bool:
    """Tell whether a folder holds nothing but what a run writes."""
    ours = {path.relative_to(folder).parts[0] for path in outputs} | {IDENTITY}
    return all(path.name in ours or path.name[:1] == "." for path in folder.iterdir())


def _outputs(folder: Path) -> list[Path]:
    return sorted(path for pattern in _OUTPUTS for path in folder.glob(pattern))


def _move_in(draft: Path, folder: Path) -> None:
    """Replace a folder's results by those of a draft.

    results.json, which tells that a run has ended, goes first and comes last: what a kill leaves
    in between is a run that has not ended.
    """
    new = [path.relative_to(draft) for path in draft.rglob("*") if path.is_file()]
    for name in new:
        if (folder / name).exists():
            (draft / name).chmod((folder / name).stat().st_mode & 0o7777)
    (folder / RESULTS).unlink(missing_ok=True)
    for old in _outputs(folder):
        if old.relative_to(folder) not in new:
            old.unlink()
            with suppress(OSError):  # a trial's folder, where others are left in it
                if old.parent != folder:
                    old.parent.rmdir()
    for name in sorted(new, key=lambda name: (name == Path(RESULTS), name)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder / name)
        (draft / name).replace(folder / name)
