"""Replacing a folder as a whole, so that a kill at any moment loses neither the old nor the new.

The new folder is written beside the old one, the old one is renamed aside, the new one renamed in,
and only then is the old one deleted. What a kill leaves of these steps is put right by `recover`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from firstshot.disk.drafts import (
    ASIDE,
    abandoned,
    draft_of,
    held,
    hidden_beside,
    hidden_of,
    remove_leftovers,
)
from firstshot.disk.files import check_folder_writable, check_not_read_only, without_links
from firstshot.errors import OutputError, cannot_write, errors_name

CLUTTER = {".DS_Store", "Thumbs.db", "desktop.ini"}
"""What file managers put into every folder that somebody looks at."""


def check_folder_replaceable(
    place: Path, overwrite: bool, names: set[str], command: str, is_ours: Callable[[Path], bool]
) -> None:
    """Refuse an output folder that cannot or must not be replaced, before any work is done.

    Parameters
    ----------
    place : Path
        The folder to write.
    overwrite : bool
        Whether a folder that the same command wrote may be replaced.
    names : set of str
        All that the command writes into its folder; a folder that holds anything else stays.
    command : str
        The command, for the messages.
    is_ours : callable
        Tells whether the folder is the command's, from its marker file.

    Raises
    ------
    OutputError
        The path is a file, or a folder that is not to be replaced; or no folder can be made there.
    """
    check_folder_writable(place)
    if not place.exists():
        return
    if not place.is_dir():
        raise OutputError(f"{place}: is a file; name a folder, new or empty")
    try:
        held = sorted(path.name for path in place.iterdir() if path.name not in CLUTTER)
    except OSError as error:
        raise cannot_write(place, error) from error
    others = [name for name in held if name not in names]
    if others or (held and not is_ours(place)):
        raise OutputError(
            f"{place}: is there already and holds {(others or held)[0]}, not what {command} "
            "writes; choose another folder"
        )
    if held and not overwrite:
        raise OutputError(f"{place}: is there already; choose another folder, or add --overwrite")
    for path in (place, *(place / name for name in held)):
        check_not_read_only(path)


@contextmanager
def folder_written(asked: Path, check: Callable[[], object]) -> Iterator[Path]:
    """Yield an empty hidden folder, which takes the place of `asked` at the end of the block.

    What lies at `asked` is deleted once the new folder is in; an error in the block leaves it as
    it is. Its mode is kept. Errors name the folder as it was asked for.

    Parameters
    ----------
    asked : Path
        The folder to write.
    check : callable
        Raises `OutputError` where the folder must not be replaced. It is called at the beginning
        and at the end: another program may have made the folder in between.

    Raises
    ------
    OutputError
        The folder cannot be made or renamed, must not be replaced, or another process replaces it
        at this moment.
    """
    check()
    place = without_links(asked)  # a link stays, and what it leads to is replaced
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with draft_of(place, Path.mkdir) as draft:
            with errors_name(asked, draft):
                yield draft
            check()
            _swap(draft, place)
    except OSError as error:
        raise cannot_write(asked, error) from error


def _swap(draft: Path, place: Path) -> None:
    if place.exists():
        draft.chmod(place.stat().st_mode & 0o7777)
        if not any(place.iterdir()):
            place.rmdir()
    if not place.exists():
        draft.rename(place)
        return
    with held(place):
        aside = hidden_beside(place, ASIDE)
        place.rename(aside)
        try:
            draft.rename(place)
        except BaseException:
            aside.rename(place)
            raise
        shutil.rmtree(aside, ignore_errors=True)


def recover(place: Path, is_ours: Callable[[Path], bool]) -> None:
    """Put right what a killed `folder_written` left: half-written folders, and the one set aside.

    The folder set aside gets its name back where nothing has taken its place, and is deleted where
    the new one has. Raises `OutputError` where it cannot be renamed.
    """
    place = without_links(place)
    remove_leftovers(place)
    for aside in hidden_of(place, ASIDE):
        with abandoned(aside) as left:
            if not (left and aside.is_dir() and is_ours(aside)):
                continue
            if place.exists():
                shutil.rmtree(aside, ignore_errors=True)
                continue
            try:
                aside.rename(place)
            except OSError as error:
                raise cannot_write(place, error) from error
