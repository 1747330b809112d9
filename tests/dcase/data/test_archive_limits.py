"""An archive that unpacks to more than recordings can be is refused before it is read."""

from __future__ import annotations

import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from firstshot.dcase.data.unpack import Limits, unpack
from firstshot.errors import DatasetError, OutputError

MACHINE = {"fan/train/a.wav": b"sound"}


def write_zip(
    path: Path, entries: dict[str, bytes], how: int = zipfile.ZIP_STORED, comment: bytes = b""
) -> Path:
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
        archive.comment = comment
    return path


def refused(path: Path, reason: str, limits: Limits | None = None) -> None:
    """Check that an archive is refused in one line, and that nothing is left of it."""
    with pytest.raises(DatasetError, match=reason) as caught:
        unpack(path, path.parent / "raw" / "fan", limits=limits)
    assert str(caught.value).startswith(f"{path}: ")
    assert str(caught.value).isprintable()
    assert not (path.parent / "raw" / "fan").exists()


def test_an_archive_that_unpacks_to_a_hundred_times_its_size_is_refused(tmp_path: Path) -> None:
    silence = {f"fan/train/{i}.wav": bytes(100_000) for i in range(10)}
    path = write_zip(tmp_path / "z.zip", silence, zipfile.ZIP_DEFLATED)
    size = path.stat().st_size
    assert size < 10_000
    refused(
        path, rf"has {size / 1e6:.3g} MB and unpacks to 0\.001 GB, more than", Limits(free=1000)
    )


def test_recordings_and_small_archives_of_silence_are_taken(tmp_path: Path) -> None:
    clips = {f"fan/train/{i}.wav": bytes(100_000) for i in range(10)}
    path = write_zip(tmp_path / "z.zip", clips, zipfile.ZIP_DEFLATED)
    assert len(unpack(path, tmp_path / "raw" / "fan")) == 10


def test_entries_that_share_their_content_count_each(tmp_path: Path) -> None:
    """Overlapping entries make a bomb of a file that holds its content once."""
    path = tmp_path / "z.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("fan/train/a.wav", bytes(10_000))
        first = archive.infolist()[0]
        for i in range(500):
            other = zipfile.ZipInfo(f"fan/train/{i}.wav")
            other.header_offset, other.file_size = first.header_offset, first.file_size
            other.compress_size, other.CRC = first.compress_size, first.CRC
            archive.filelist.append(other)
            archive.NameToInfo[other.filename] = other
    refused(path, "more than recordings", Limits(free=1000))


def test_more_than_all_recordings_of_a_year_is_refused_whatever_the_ratio(tmp_path: Path) -> None:
    refused(write_zip(tmp_path / "z.zip", MACHINE), "more than recordings", Limits(unpacked=4))


@pytest.mark.parametrize("comment", [b"", b"a comment", b"PK\x05\x06" + bytes(18), b"PK\x05\x06"])
def test_a_list_with_too_many_entries_is_refused_before_it_is_read(
    tmp_path: Path, comment: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = {f"fan/train/{i}.wav": b"" for i in range(100)}
    path = write_zip(tmp_path / "z.zip", clips, comment=comment)
    opened: list[Path] = []
    if not comment.startswith(b"PK"):
        monkeypatch.setattr(zipfile, "ZipFile", opened.append)
    refused(path, r"lists 100 files|not a zip|no clips", Limits(entries=99))
    assert opened == []


def test_the_longer_records_of_a_large_archive_are_read_too(tmp_path: Path) -> None:
    clips = {f"fan/train/{i}.wav": b"" for i in range(66_000)}  # Zip64 begins at 65,536
    path = write_zip(tmp_path / "z.zip", clips)
    Limits().check_directory(path)
    with pytest.raises(DatasetError, match="lists 66000 files"):
        Limits(entries=65_900).check_directory(path)


def test_a_list_that_is_longer_than_it_says_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "z.zip"
    length = 200_000_000
    with path.open("wb") as file:
        file.truncate(length)  # sparse: it takes no room on the disk
        file.seek(length)
        file.write(b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, length, 0, 0))
    tracemalloc.start()
    refused(path, "lists 1 files in 200000000 bytes")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


@pytest.mark.parametrize("how", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_without_a_bound_on_memory_are_refused(tmp_path: Path, how: int) -> None:
    refused(write_zip(tmp_path / "z.zip", MACHINE, how), f"packed by method {how}, expected stored")


@pytest.mark.parametrize(
    "name",
    [
        "fan/train/two\nlines.wav",
        "fan/train/\x1b[31m.wav",
        f"fan/train/{'x' * 300}.wav",
        "fan/" + "a/" * 100 + "b.wav",
        "fan/train/\u202egpj.wav",
    ],
)
def test_names_that_no_published_archive_has_are_refused(tmp_path: Path, name: str) -> None:
    path = write_zip(tmp_path / "z.zip", {**MACHINE, name: b"x"})
    refused(path, "too long or holds control characters")


def test_a_file_that_is_a_folder_too_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "z.zip", {**MACHINE, "fan/train": b"x"})
    refused(path, "holds train as a file and as a folder")


def test_any_damage_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    """Every byte, one after the other, is turned over."""
    path = write_zip(tmp_path / "z.zip", {**MACHINE, "fan/test/ü.wav": b"x"}, zipfile.ZIP_DEFLATED)
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        try:
            unpack(path, tmp_path / "raw" / "fan")
        except DatasetError as error:
            assert str(error).isprintable()
        assert not list(tmp_path.rglob(".unpacking*"))


def test_a_link_in_the_place_of_the_temporary_folder_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "z.zip", MACHINE)
    (tmp_path / "raw").mkdir()
    (tmp_path / "victim").mkdir()
    (tmp_path / "raw" / ".unpacking-z").symlink_to(tmp_path / "victim")
    with pytest.raises(OutputError, match=r"\.unpacking-z: a link"):
        unpack(path, tmp_path / "raw" / "fan")
    assert list((tmp_path / "victim").iterdir()) == []
