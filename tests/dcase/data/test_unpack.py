import shutil
import stat
import zipfile

import pytest

from firstshot.dcase.data.unpack import unpack
from firstshot.errors import DatasetError, FirstshotWarning, OutputError

CLIPS = {
    "train/section_00_source_train_normal_0000_.wav": b"one",
    "test/section_00_source_test_anomaly_0000_.wav": b"three",
    "attributes_00.csv": b"file_name,d1p,d1v\n",
}


def write_zip(path, entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def tree(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def fan(tmp_path):
    return tmp_path / "raw" / "fan"


@pytest.mark.parametrize(
    "above",
    [
        "fan/",
        "",
        "./fan/",
        "dev_data/fan/",
        "dev_data/raw/fan/",
        "data/dcase2025t2/dev_data/raw/fan/",
        "dev_fan/",
        "dev_fan/fan/",
        "Fan/",
        "fan\\",
    ],
)
def test_clips_land_in_the_machines_folder_whatever_lies_above_them(tmp_path, fan, above):
    entries = {above + name: content for name, content in CLIPS.items()}
    if "\\" in above:
        entries = {name.replace("/", "\\"): content for name, content in entries.items()}
    sizes = unpack(write_zip(tmp_path / "dev_fan.zip", entries), fan)
    assert tree(fan) == CLIPS
    assert sizes == {name: len(content) for name, content in CLIPS.items()}
    assert [path.name for path in fan.parent.iterdir()] == ["fan"]


def test_the_two_test_folders_of_2021_are_kept_as_they_are(tmp_path, fan):
    clips = {"train/a.wav": b"a", "source_test/b.wav": b"b", "target_test/c.wav": b"c"}
    unpack(write_zip(tmp_path / "z.zip", {f"fan/{k}": v for k, v in clips.items()}), fan)
    assert tree(fan) == clips


def test_folder_entries_and_clutter_of_other_systems_are_left_out(tmp_path, fan):
    clutter = {
        "fan/": b"",
        "fan/train/": b"",
        "__MACOSX/fan/._train": b"x",
        "fan/.DS_Store": b"x",
        "fan/train/._a.wav": b"x",
    }
    unpack(write_zip(tmp_path / "z.zip", {**clutter, "fan/train/a.wav": b"a"}), fan)
    assert tree(fan) == {"train/a.wav": b"a"}


def test_a_second_archive_joins_the_clips_of_the_first(tmp_path, fan):
    unpack(write_zip(tmp_path / "train.zip", {"fan/train/a.wav": b"a"}), fan)
    unpack(write_zip(tmp_path / "test.zip", {"fan/test/b.wav": b"b"}), fan)
    assert tree(fan) == {"train/a.wav": b"a", "test/b.wav": b"b"}


def test_clips_that_are_there_are_replaced_and_files_of_ones_own_are_kept(tmp_path, fan):
    (fan / "train").mkdir(parents=True)
    (fan / "train" / "a.wav").write_bytes(b"broken")
    (fan / "test_rename").mkdir()
    (fan / "test_rename" / "mine.wav").write_bytes(b"mine")
    sizes = unpack(
        write_zip(tmp_path / "z.zip", {"fan/train/a.wav": b"a", "fan/train/b.wav": b"bb"}), fan
    )
    assert tree(fan) == {"train/a.wav": b"a", "train/b.wav": b"bb", "test_rename/mine.wav": b"mine"}
    assert sizes == {"train/a.wav": 1, "train/b.wav": 2}


def test_a_differing_table_of_a_second_archive_is_kept_beside_the_first(tmp_path, fan):
    first = write_zip(
        tmp_path / "one.zip", {"fan/train/a.wav": b"a", "fan/attributes_00.csv": b"1"}
    )
    second = write_zip(
        tmp_path / "two.zip", {"fan/test/b.wav": b"b", "fan/attributes_00.csv": b"2"}
    )
    unpack(first, fan)
    with pytest.warns(FirstshotWarning, match=r"another one is in two\.zip"):
        sizes = unpack(second, fan)
    assert (fan / "attributes_00.csv").read_bytes() == b"1"
    assert (fan / "attributes_00_two.csv").read_bytes() == b"2"
    assert sizes == {"attributes_00_two.csv": 1, "test/b.wav": 1}


def test_progress_counts_bytes_up_to_their_total(tmp_path, fan):
    seen = []
    unpack(write_zip(tmp_path / "z.zip", CLIPS), fan, lambda *step: seen.append(step))
    total = sum(map(len, CLIPS.values()))
    assert [done for done, _ in seen] == [3, 8, total]
    assert {told for _, told in seen} == {total}


@pytest.mark.parametrize(
    "name",
    [
        "../escaped.wav",
        "/tmp/escaped.wav",
        "fan/../../escaped.wav",
        "C:/x.wav",
        "fan\\..\\..\\x.wav",
    ],
)
def test_an_entry_that_leads_out_of_the_folder_is_refused_and_nothing_is_written(
    tmp_path, fan, name
):
    path = write_zip(tmp_path / "z.zip", {"fan/train/a.wav": b"a", name: b"evil"})
    with pytest.raises(DatasetError, match=r"z\.zip.*leads out of its folder"):
        unpack(path, fan)
    assert tree(tmp_path).keys() == {"z.zip"}


def test_a_symbolic_link_is_refused(tmp_path, fan):
    link = zipfile.ZipInfo("fan/train/link.wav")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(DatasetError, match="is a link"):
        unpack(tmp_path / "z.zip", fan)
    assert not fan.exists()


def test_the_archive_of_another_machine_is_refused(tmp_path, fan):
    path = write_zip(tmp_path / "z.zip", {"pump/train/a.wav": b"a"})
    with pytest.raises(DatasetError, match=r"folder 'pump' where 'fan' was expected"):
        unpack(path, fan)
    assert not fan.exists()


def test_a_machine_whose_name_begins_another_is_not_taken_for_it(tmp_path):
    path = write_zip(tmp_path / "z.zip", {"ToyCarEmu/train/a.wav": b"a"})
    with pytest.raises(DatasetError, match="'ToyCarEmu' where 'ToyCar'"):
        unpack(path, tmp_path / "raw" / "ToyCar")


def test_an_archive_without_clips_or_with_one_twice_is_refused(tmp_path, fan):
    with pytest.raises(DatasetError, match="no clips of fan"):
        unpack(write_zip(tmp_path / "z.zip", {"fan/readme.txt": b"hello"}), fan)
    with pytest.raises(DatasetError, match=r"holds train/a\.wav twice"):
        unpack(write_zip(tmp_path / "y.zip", {"fan/train/a.wav": b"a", "train/a.wav": b"b"}), fan)
    assert not fan.exists()


def test_a_damaged_archive_leaves_nothing_behind(tmp_path, fan):
    path = write_zip(tmp_path / "z.zip", {f"fan/train/{n}.wav": bytes(5000) for n in range(3)})
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x03\x04") + 50] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"z\.zip: not a zip that can be unpacked"):
        unpack(path, fan)
    assert tree(tmp_path).keys() == {"z.zip"}


def test_what_is_no_zip_is_named(tmp_path, fan):
    (tmp_path / "z.zip").write_bytes(b"<html>not found</html>")
    with pytest.raises(DatasetError, match=r"z\.zip: not a zip that can be unpacked"):
        unpack(tmp_path / "z.zip", fan)


def test_what_does_not_fit_on_the_disk_is_not_begun(tmp_path, fan, monkeypatch):
    path = write_zip(tmp_path / "z.zip", {"fan/train/a.wav": bytes(3_000_000)})
    full = shutil.disk_usage(tmp_path)._replace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(OutputError, match=r"z\.zip unpacks to 0\.003 GB and 0\.001 GB are free"):
        unpack(path, fan)
    assert not fan.exists()


def test_what_a_killed_run_left_is_cleared_away(tmp_path, fan):
    left = fan.parent / ".unpacking-z" / "fan" / "train"
    left.mkdir(parents=True)
    (left / "half.wav").write_bytes(b"ha")
    unpack(write_zip(tmp_path / "z.zip", {"fan/train/a.wav": b"a"}), fan)
    assert tree(fan.parent) == {"fan/train/a.wav": b"a"}


def test_a_whole_folder_appears_at_once(tmp_path, fan, monkeypatch):
    seen = []
    original = type(fan).replace

    def replace(self, goal):
        seen.append(fan.exists())
        return original(self, goal)

    monkeypatch.setattr(type(fan), "replace", replace)
    unpack(write_zip(tmp_path / "z.zip", CLIPS), fan)
    assert seen == [False]
    assert tree(fan) == CLIPS
