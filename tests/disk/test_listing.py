"""A folder's files: once each, links followed, and what cannot be listed named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import firstshot
from firstshot.dcase.data.clip_names import read_attributes
from firstshot.dcase.evaluation.score_files import read_rows
from firstshot.dcase.running.system import load_system
from firstshot.dcase.submitting.submit import check_submission
from firstshot.disk import listing
from firstshot.disk.listing import Unlisted, is_folder, list_files, why_closed, why_no_file
from firstshot.errors import FirstshotError


def lay(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def names(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in list_files(root).files]


@pytest.fixture
def closed(monkeypatch):
    """Refuse to list folders of the name `closed`; rights do not bind root, who may run this."""
    scandir = os.scandir

    def refuse(place):
        if Path(place).name == "closed":
            raise PermissionError(13, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(listing.os, "scandir", refuse)


def test_linked_folders_are_followed_and_files_listed_under_their_own_path(tmp_path):
    lay(tmp_path, "root/z/1.wav", "root/2.wav", "outside/deep/3.wav")
    root = tmp_path / "root"
    (root / "a_link").symlink_to(root / "z")
    (root / "b_link").symlink_to(tmp_path / "outside")
    (root / "c_link").symlink_to(tmp_path / "outside" / "deep")
    (root / "a_latest.wav").symlink_to("2.wav")
    assert names(root) == ["2.wav", "b_link/deep/3.wav", "z/1.wav"]
    assert list_files(root).unlisted == ()


def test_links_that_lead_back_up_end_the_walk_and_bring_in_nothing(tmp_path):
    lay(tmp_path, "root/a/1.wav", "other/2.wav", "beside.wav")
    (tmp_path / "root/a/self").symlink_to(".")
    (tmp_path / "root/a/up").symlink_to("..")
    (tmp_path / "root/a/above").symlink_to(tmp_path)
    (tmp_path / "root/ring").symlink_to(tmp_path / "other")
    (tmp_path / "other/ring").symlink_to(tmp_path / "root")
    assert names(tmp_path / "root") == ["a/1.wav", "ring/2.wav"]


def test_two_links_to_one_file_elsewhere_are_one_file(tmp_path):
    lay(tmp_path, "outside.wav")
    (tmp_path / "root").mkdir()
    for name in ("b.wav", "a.wav"):
        (tmp_path / "root" / name).symlink_to(tmp_path / "outside.wav")
    assert names(tmp_path / "root") == ["a.wav"]


def test_links_to_nothing_are_files_or_named(tmp_path):
    for name in ("gone.wav", "gone", ".hidden"):
        (tmp_path / name).symlink_to("nowhere")
    listing = list_files(tmp_path)
    assert listing.files == (tmp_path / "gone.wav",)
    why = "a link that leads nowhere (No such file or directory)"
    assert listing.unlisted == (Unlisted(tmp_path / "gone", why),)


def test_a_folder_that_cannot_be_listed_is_named_and_the_others_are_listed(tmp_path, closed):
    lay(tmp_path, "a/1.wav", "b/closed/2.wav", "c/3.wav", "lost+found/4.wav")
    assert names(tmp_path) == ["a/1.wav", "c/3.wav", "lost+found/4.wav"]
    (found,) = list_files(tmp_path).unlisted
    assert found == Unlisted(tmp_path / "b/closed", "cannot be listed (Permission denied)")
    assert why_closed(tmp_path / "b/closed") == "cannot be listed (Permission denied)"
    assert why_closed(tmp_path / "a") is None


def test_a_systems_own_folders_are_no_fault(tmp_path, monkeypatch):
    lay(tmp_path, "1.wav", ".Trashes/2.wav", "lost+found/3.wav")
    scandir = os.scandir

    def refuse(place):
        if Path(place) != tmp_path:
            raise PermissionError(13, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(listing.os, "scandir", refuse)
    assert list_files(tmp_path).unlisted == ()


def test_what_is_no_plain_file_is_told_apart(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").touch()
    assert why_no_file(tmp_path / "file") is None
    assert why_no_file(tmp_path) == "is a folder"
    assert why_no_file(tmp_path / "pipe") == "is a FIFO (a named pipe), not a file"
    assert why_no_file(Path("/dev/null")) == "is a device, not a file"
    assert why_no_file(tmp_path / "none") == "does not exist"
    assert why_no_file(tmp_path / "file" / "none") == "does not exist"
    assert str(why_no_file(tmp_path / "loop")).startswith("cannot be opened (")
    assert why_no_file(tmp_path / ("n" * 5000)) == "cannot be opened (File name too long)"
    assert why_no_file(Path("nul\0")) == "cannot be opened (embedded null byte)"
    assert not is_folder(tmp_path / ("n" * 5000))


@pytest.mark.parametrize(
    "read",
    [
        firstshot.Detector.load,
        lambda path: firstshot.load_encoder("ced_tiny", weights=path),
        read_rows,
        read_attributes,
        check_submission,
        load_system,
    ],
)
def test_a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for(tmp_path, read):
    pytest.importorskip("torch")
    os.mkfifo(tmp_path / "pipe.toml")
    argument = str(tmp_path / "pipe.toml") if read is load_system else tmp_path / "pipe.toml"
    with pytest.raises(FirstshotError, match=r"FIFO|not a plain file"):
        read(argument)


def test_hidden_sub_folders_are_left_out_but_a_hidden_folder_may_be_named(tmp_path):
    for place in (".trash", "seen/.old", "seen"):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / place / "a.wav").touch()
    (tmp_path / ".linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    found = [path.relative_to(tmp_path).as_posix() for path in list_files(tmp_path).files]
    assert found == ["seen/a.wav"]
    assert len(list_files(tmp_path / ".trash").files) == 1
