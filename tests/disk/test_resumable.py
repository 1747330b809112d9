"""What a later run goes on with is never written through a link."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from firstshot.disk.resumable import open_resumable, refuse_link
from firstshot.errors import OutputError


def test_a_file_is_made_and_added_to_at_its_end(tmp_path: Path) -> None:
    path = tmp_path / "clips.zip.part"
    for content in (b"one", b"two"):
        with open_resumable(path) as file:
            file.write(content)
    with open_resumable(path) as file:
        assert file.tell() == 6
        file.seek(0)
        assert file.read() == b"onetwo"


def test_a_new_file_has_the_rights_that_the_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        open_resumable(tmp_path / "part").close()
    finally:
        os.umask(before)
    assert (tmp_path / "part").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_refused_and_what_it_leads_to_is_untouched(tmp_path: Path, there: bool) -> None:
    victim, path = tmp_path / "thesis.txt", tmp_path / "clips.zip.part"
    if there:
        victim.write_text("years of work")
    path.symlink_to(victim)
    with pytest.raises(OutputError, match=r"clips\.zip\.part: a link, expected .* remove the link"):
        open_resumable(path)
    assert victim.exists() is there
    if there:
        assert victim.read_text() == "years of work"


def test_a_link_that_is_put_there_in_the_last_moment_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "part").symlink_to(tmp_path / "victim")
    monkeypatch.setattr(Path, "is_symlink", lambda self: False)
    with pytest.raises(OutputError, match="part: not a plain file"):
        open_resumable(tmp_path / "part")
    assert not (tmp_path / "victim").exists()


def test_a_second_name_of_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("years of work")
    (tmp_path / "part").hardlink_to(tmp_path / "victim")
    with pytest.raises(OutputError, match="part: not a plain file of one name"):
        open_resumable(tmp_path / "part")
    assert (tmp_path / "victim").read_text() == "years of work"


def test_a_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "downloads").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="downloads: a link"):
        open_resumable(tmp_path / "downloads" / "part")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_pipe_and_a_socket_are_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for name in ("pipe", "socket"):
            with pytest.raises(OutputError, match=f"{name}: not a plain file"):
                open_resumable(tmp_path / name)


def test_other_faults_stay_those_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        open_resumable(tmp_path / "folder")
    with pytest.raises(FileNotFoundError):
        open_resumable(tmp_path / "nowhere" / "part")


def test_only_links_are_refused_as_links(tmp_path: Path) -> None:
    refuse_link(tmp_path)
    refuse_link(tmp_path / "nowhere")
