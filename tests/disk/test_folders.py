"""A folder is replaced as a whole; a kill loses neither the old one nor the new one."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from firstshot.disk.drafts import held
from firstshot.disk.folders import check_folder_replaceable, folder_written, recover
from firstshot.errors import OutputError, SoundError

MARKER = "marker"


def is_ours(folder: Path) -> bool:
    return (folder / MARKER).is_file()


def check(place: Path, overwrite: bool = True) -> None:
    check_folder_replaceable(place, overwrite, {MARKER, "data"}, "firstshot export", is_ours)


def no_check() -> None:
    """Let the folder be replaced."""


def made(place: Path, content: str) -> Path:
    place.mkdir(parents=True)
    for name in (MARKER, "data"):
        (place / name).write_text(content)
    return place


def content(place: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in place.iterdir()}


OLD, NEW = ({MARKER: text, "data": text} for text in ("old", "new"))

REPLACE = """
import os, shutil, signal, sys
from pathlib import Path
from firstshot.disk.folders import folder_written

place, step, real = Path(sys.argv[1]), int(sys.argv[2]), Path.rename
done = 0

def rename(self, target):
    global done
    if done == step:
        os.kill(os.getpid(), signal.SIGKILL)
    done += 1
    return real(self, target)

def rmtree(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

Path.rename = rename
with folder_written(place, lambda: None) as draft:
    for name in ("marker", "data"):
        (draft / name).write_text("new")
    shutil.rmtree = rmtree
"""


@pytest.mark.parametrize(
    ("renames", "left", "expected"),
    [
        pytest.param(0, OLD, OLD, id="before anything is renamed"),
        pytest.param(1, None, OLD, id="the old one set aside"),
        pytest.param(2, NEW, NEW, id="the new one in its place"),
    ],
)
def test_a_kill_at_any_step_is_put_right_by_the_next_run(tmp_path, renames, left, expected):
    place = made(tmp_path / "bundle", "old")
    done = subprocess.run(
        [sys.executable, "-c", REPLACE, str(place), str(renames)], check=False, timeout=60
    )
    assert done.returncode == -signal.SIGKILL
    assert (content(place) if place.exists() else None) == left
    assert len(list(tmp_path.iterdir())) == 2
    recover(place, is_ours)
    assert content(place) == expected
    assert list(tmp_path.iterdir()) == [place]


def test_the_old_folder_stays_where_the_new_one_cannot_be_renamed(tmp_path, monkeypatch):
    place = made(tmp_path / "bundle", "old")
    real = Path.rename

    def fails(self, target):
        if Path(target) == place and self.name.endswith(".part"):
            raise OSError(5, "Input/output error")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", fails)
    with (
        pytest.raises(OutputError, match=r"bundle: cannot be written \(Input/output error\)"),
        folder_written(place, no_check) as draft,
    ):
        (draft / "data").write_text("new")
    assert content(place) == OLD
    assert list(tmp_path.iterdir()) == [place]


def test_an_error_while_writing_leaves_the_old_folder(tmp_path):
    place = made(tmp_path / "bundle", "old")
    with pytest.raises(ValueError, match="half-way"), folder_written(place, no_check) as draft:
        (draft / "data").write_text("new")
        raise ValueError("half-way")
    assert content(place) == OLD
    assert list(tmp_path.iterdir()) == [place]


def test_a_folder_keeps_its_rights_and_a_link_to_it_stays(tmp_path):
    place = made(tmp_path / "bundle", "old")
    place.chmod(0o750)
    (tmp_path / "link").symlink_to("bundle")
    with folder_written(tmp_path / "link", no_check) as draft:
        (draft / "data").write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert content(place) == {"data": "new"}
    assert place.stat().st_mode & 0o777 == 0o750
    assert len(list(tmp_path.iterdir())) == 2


def test_a_folder_that_another_process_replaces_is_left_to_it(tmp_path):
    place = made(tmp_path / "bundle", "old")
    with (
        held(place),
        pytest.raises(OutputError, match=r"another process is replacing it.*choose another place"),
        folder_written(place, no_check) as draft,
    ):
        (draft / "data").write_text("new")
    assert content(place) == OLD
    assert list(tmp_path.iterdir()) == [place]


def test_a_folder_is_replaced_where_the_file_system_has_no_locks(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("firstshot.disk.drafts.try_lock", unsupported)
    place = made(tmp_path / "bundle", "old")
    with folder_written(place, no_check) as draft:
        (draft / "data").write_text("new")
    assert content(place) == {"data": "new"}
    assert list(tmp_path.iterdir()) == [place]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_appears_while_the_new_one_is_written_stays(tmp_path, overwrite):
    place = tmp_path / "bundle"
    with (
        pytest.raises(OutputError, match=r"bundle: is there already and holds thesis\.tex"),
        folder_written(place, partial(check, place, overwrite)) as draft,
    ):
        (draft / "data").write_text("new")
        place.mkdir()
        (place / "thesis.tex").write_text("mine")
    assert content(place) == {"thesis.tex": "mine"}
    assert list(tmp_path.iterdir()) == [place]


def test_a_folder_of_the_same_command_that_appears_meanwhile_is_replaced_only_where_asked(tmp_path):
    place = tmp_path / "bundle"
    with (
        pytest.raises(OutputError, match="choose another folder, or add --overwrite"),
        folder_written(place, partial(check, place, False)) as draft,
    ):
        (draft / "data").write_text("new")
        made(place, "old")
    assert content(place) == OLD


@pytest.mark.parametrize(
    "fault", [OutputError("{}/data: cannot be written"), SoundError("{}: bad"), OSError(28, "full")]
)
def test_an_error_names_the_folder_that_was_asked_for_not_the_hidden_draft(
    tmp_path, monkeypatch, fault
):
    monkeypatch.chdir(tmp_path)
    kind = OutputError if isinstance(fault, OSError) else type(fault)
    with (
        pytest.raises(kind, match=r"^bundle(/data)?: ") as caught,
        folder_written(Path("bundle"), no_check) as draft,
    ):
        raise fault if isinstance(fault, OSError) else kind(str(fault).format(draft))
    assert ".part" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_draft_that_is_being_written_is_no_leftover(tmp_path):
    place = tmp_path / "bundle"
    with folder_written(place, no_check) as draft:
        recover(place, is_ours)
        assert draft.is_dir()
        (draft / "data").write_text("new")
    assert content(place) == {"data": "new"}


def test_nothing_is_restored_that_is_not_the_commands_own(tmp_path):
    thesis = tmp_path / ".bundle.ab3c9def.old"
    thesis.mkdir()
    (thesis / "thesis.tex").write_text("mine")
    recover(tmp_path / "bundle", is_ours)
    made(tmp_path / "bundle", "new")
    recover(tmp_path / "bundle", is_ours)
    assert content(thesis) == {"thesis.tex": "mine"}


@pytest.mark.parametrize("name", ["thesis.tex", ".git"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_with_anything_else_in_it_is_refused_by_name(tmp_path, name, overwrite):
    for place in (tmp_path / "thesis", made(tmp_path / "bundle", "old")):
        place.mkdir(exist_ok=True)
        (place / name).write_text("mine")
        with pytest.raises(OutputError) as caught:
            check(place, overwrite)
        assert str(caught.value) == (
            f"{place}: is there already and holds {name}, not what firstshot export writes; "
            "choose another folder"
        )


def test_a_folder_is_replaced_where_asked_and_where_there_is_nothing_to_lose(tmp_path):
    place = made(tmp_path / "bundle", "old")
    (place / ".DS_Store").write_text("put there by a file manager")
    with pytest.raises(OutputError, match="choose another folder, or add --overwrite"):
        check(place, overwrite=False)
    check(place)
    (tmp_path / "empty").mkdir()
    check(tmp_path / "empty", overwrite=False)
    check(tmp_path / "new", overwrite=False)
    (place / MARKER).unlink()
    with pytest.raises(OutputError, match="holds data, not what"):
        check(place)
    with pytest.raises(OutputError, match="is a file; name a folder"):
        check(place / "data")


@pytest.mark.parametrize("name", [".", "data"])
def test_a_folder_with_a_read_only_mark_is_refused(tmp_path, name):
    place = made(tmp_path / "bundle", "old")
    rights = (place / name).stat().st_mode
    (place / name).chmod(0o555)
    try:
        with pytest.raises(OutputError, match=r"cannot be written .it is marked read-only"):
            check(place)
    finally:
        (place / name).chmod(rights)
