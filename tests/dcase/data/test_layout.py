import csv
import os
from collections import Counter
from pathlib import Path

import pytest

from firstshot.dcase.data.clip_names import (
    parse_clip_name,
    parse_supplemental_name,
    read_attributes,
)
from firstshot.dcase.data.layout import read_layout, scan_layout
from firstshot.disk import listing
from firstshot.errors import DatasetError, FirstshotWarning
from firstshot.sound.synth.dataset import write_dataset

SHARED = Path(__file__).resolve().parents[3] / ".." / "shared"
TRAIN = "train/section_00_source_train_normal_0000_vel_5.wav"
TEST = "test/section_00_source_test_normal_0000_vel_5.wav"


def lay(folder: Path, *names: str) -> Path:
    """Empty files under a folder: the layout reader looks at names only."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


@pytest.mark.parametrize(
    ("stem", "section", "domain", "split", "label", "attributes"),
    [
        # 2022 and later, development and training
        (
            "section_00_source_train_normal_0989_car_A1_spd_28V_mic_1",
            *("00", "source", "train", 0, "car_A1_spd_28V_mic_1"),
        ),
        (
            "section_02_target_test_anomaly_0000_noAttribute",
            "02",
            "target",
            "test",
            1,
            "noAttribute",
        ),
        ("section_00_source_test_normal_0199", "00", "source", "test", 0, ""),
        ("section_00_source_test_normal_0199_", "00", "source", "test", 0, ""),
        # hazards: tokens that touch, underscores in keys, a repeated key, a trailing underscore,
        # dots and hyphens, labelled names that lack _test_, damage behind the attributes
        (
            "section_00_target_train_normal_0999_spd1000_BckgA",
            *("00", "target", "train", 0, "spd1000_BckgA"),
        ),
        (
            "section_00_source_test_normal_0001_mic_imp_1_mic_pos_2",
            *("00", "source", "test", 0, "mic_imp_1_mic_pos_2"),
        ),
        ("section_00_source_test_anomaly_7_mic_1_mic_2", "00", "source", "test", 1, "mic_1_mic_2"),
        ("section_00_source_test_anomaly_0003_ac_0.03_", "00", "source", "test", 1, "ac_0.03_"),
        (
            "section_00_target_test_normal_0050_f-n_A_volt_3.0",
            *("00", "target", "test", 0, "f-n_A_volt_3.0"),
        ),
        (
            "section_00_source_anomaly_0010_weight_5_Bckg_1",
            "00",
            "source",
            None,
            1,
            "weight_5_Bckg_1",
        ),
        (
            "section_00_source_test_anomaly_0002_volt_1.5_wt_100_damage3",
            *("00", "source", "test", 1, "volt_1.5_wt_100_damage3"),
        ),
        # an attribute that spells a domain or a label decides nothing
        (
            "section_00_source_test_normal_0002_target_anomaly",
            *("00", "source", "test", 0, "target_anomaly"),
        ),
        # evaluation sets without labels
        ("section_00_0000", "00", None, None, None, ""),
        ("section_03_target_test_0102", "03", "target", "test", None, ""),
        ("section_00_test_0000", "00", None, "test", None, ""),
        # 2020
        ("normal_id_02_00000012", "02", None, None, 0, ""),
        ("anomaly_id_00_00000000", "00", None, None, 1, ""),
        ("id_05_00000123", "05", None, None, None, ""),
    ],
)
def test_names_of_every_year_are_read(stem, section, domain, split, label, attributes):
    name = parse_clip_name(stem)
    assert name is not None
    assert (name.section, name.domain, name.split) == (section, domain, split)
    assert (name.label, name.attributes) == (label, attributes)


@pytest.mark.parametrize(
    "stem",
    [
        *("monday", "section_00", "section_xx_source_train_normal_0000", "section_00_0000x"),
        *("section_00_middle_test_normal_0000", "section_00_source_test_broken_0000", "id_0"),
        *("Section_00_0000", "normal_id_00_0000_extra", "", "section_00_source_test_normal_"),
    ],
)
def test_names_outside_the_grammar_are_not_guessed_at(stem):
    assert parse_clip_name(stem) is None


@pytest.mark.parametrize(
    ("stem", "domain", "kind"),
    [
        ("section_00_machine_0100_", None, "clean"),
        ("section_00_machine_source_0000_noAttribute", "source", "clean"),
        ("section_00_noise_supplemental_normal_0000", None, "noise"),
        ("section_00_source_supplemental_machine_0000", "source", "clean"),
        ("section_00_0003", None, None),
    ],
)
def test_supplemental_clips_are_told_apart_by_their_words(stem, domain, kind):
    name = parse_supplemental_name(stem)
    assert (name.section, name.domain, name.kind) == ("00", domain, kind)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"file_name,d1p,d1v\nfan/train/a_1.5.wav,vel,6\n", {"a_1.5": "vel_6"}),
        (b"file_name,d1p,d1v,d2p,d2v\r\na,car,A1,spd,28V\r\n", {"a": "car_A1_spd_28V"}),
        (b"\xef\xbb\xbffile_name\r\na.wav\r\nb.wav\r\n", {"a": "", "b": ""}),
        (b"file_name,d1p,d1v,d2p,d2v\na.wav,vel,6,,\nb.wav,vel\n", {"a": "vel_6", "b": "vel_"}),
        (b"file_name,d10p,d10v,d2p,d2v\na,ten,10,two,2\n", {"a": "two_2_ten_10"}),
        (b"file_name,d1p,d1v,file_name_with_attributes\na,vel,6,a_vel_6\n", {"a": "vel_6"}),
        (b"file_name,d1p,d1v\nfan\\train\\a.WAV,mic,1\n", {"a": "mic_1"}),
        (b"file_name,d1p,d1v\n", {}),
    ],
)
def test_attribute_tables_of_every_variant_are_read(tmp_path, content, expected):
    path = tmp_path / "attributes_00.csv"
    path.write_bytes(content)
    assert read_attributes(path) == expected


@pytest.mark.parametrize("content", [b"", b"a.wav,vel,6\n", b"\xff\xfe\x00f\x00i", b"\x00\xff"])
def test_what_is_no_attribute_table_is_named(tmp_path, content):
    path = tmp_path / "attributes_00.csv"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"attributes_00\.csv"):
        read_attributes(path)


@pytest.mark.parametrize("above", ["", "raw", "dev_data", "dev_data/raw", "eval_data/raw"])
def test_machines_are_found_below_every_kind_of_root(tmp_path, above):
    lay(tmp_path / above / "fan", TRAIN, TEST)
    lay(tmp_path / above / "notes", "readme.txt")
    (section,) = read_layout(tmp_path)
    assert (section.machine, section.section, section.name) == ("fan", "00", "fan_section_00")


def test_a_single_machine_folder_is_a_root_too(tmp_path, monkeypatch):
    folder = lay(tmp_path / "fan", TRAIN, TEST)
    assert read_layout(folder)[0].machine == "fan"
    monkeypatch.chdir(folder)
    assert read_layout(Path())[0].machine == "fan"


def test_records_tell_all_that_names_tables_and_folders_tell(tmp_path):
    fan = lay(
        tmp_path / "fan",
        TRAIN,
        "train/section_00_target_train_normal_0001_vel_7.wav",
        "test/section_00_target_test_anomaly_0001_vel_7.FLAC",
        TEST,
        "supplemental/section_00_noise_supplemental_normal_0000.wav",
        "train/.hidden",
    )
    (fan / "attributes_00.csv").write_text(
        f"file_name,d1p,d1v\nfan/{TRAIN},velocity,5.0\nfan/{TEST},velocity,5.1\n"
    )
    (section,) = read_layout(tmp_path)
    assert [(clip.domain, clip.label, clip.attributes) for clip in section.train] == [
        ("source", 0, "velocity_5.0"),
        ("target", 0, "vel_7"),  # not in the table: the name's own
    ]
    assert [(clip.domain, clip.label, clip.attributes) for clip in section.test] == [
        ("source", 0, "velocity_5.1"),
        ("target", 1, "vel_7"),
    ]
    assert [clip.kind for clip in section.supplemental] == ["noise"]
    assert section.train[0].path == fan / TRAIN
    assert {clip.split for clip in section.test} == {"test"}


def test_2020_has_sections_by_id_and_no_domains(tmp_path):
    lay(tmp_path / "pump", "train/normal_id_00_00000000.wav", "test/anomaly_id_00_00000000.wav")
    lay(tmp_path / "pump", "train/normal_id_02_00000000.wav", "test/id_02_00000000.wav")
    first, second = read_layout(tmp_path)
    assert (first.section, second.section) == ("00", "02")
    assert first.train[0].domain is None
    assert (first.train[0].label, first.test[0].label, second.test[0].label) == (0, 1, None)


def test_2021_has_a_test_folder_per_domain(tmp_path):
    lay(
        tmp_path / "valve",
        "train/section_03_source_train_normal_0000.wav",
        "source_test/section_03_source_test_0000.wav",
        "target_test/section_03_0000.wav",
    )
    (section,) = read_layout(tmp_path)
    assert [clip.domain for clip in section.test] == ["source", "target"]
    assert [clip.label for clip in section.test] == [None, None]


def test_2021_folders_merged_by_the_baseline_are_not_read_twice(tmp_path):
    lay(tmp_path / "valve", TRAIN, TEST, TEST.replace("test/", "source_test/"))
    assert len(read_layout(tmp_path)[0].test) == 1


def test_renamed_test_clips_are_preferred_where_they_have_labels(tmp_path):
    plain = "test/section_00_0000.wav"
    named = "test_rename/section_00_target_test_anomaly_0000_vel_5.wav"
    fan = lay(tmp_path / "fan", TRAIN, plain)
    lay(tmp_path / "fan", "test_rename/section_00_0000.wav")
    assert read_layout(tmp_path)[0].test[0].path == fan / plain
    lay(fan, named)
    (fan / "test_rename/section_00_0000.wav").unlink()
    (clip,) = read_layout(tmp_path)[0].test
    assert (clip.path, clip.label, clip.domain) == (fan / named, 1, "target")


def test_development_and_evaluation_sections_of_one_year_stand_side_by_side(tmp_path):
    lay(tmp_path / "dev_data/raw/fan", TRAIN, TEST)
    lay(tmp_path / "eval_data/raw/fan", TRAIN.replace("_00_", "_03_"), "test/section_03_0000.wav")
    assert [section.name for section in read_layout(tmp_path)] == [
        "fan_section_00",
        "fan_section_03",
    ]
    lay(tmp_path / "eval_data/raw/fan", TRAIN)
    with pytest.raises(DatasetError, match="section 00 of fan lies in"):
        read_layout(tmp_path)


def test_numbers_may_start_at_zero_or_one_or_run_on_over_classes(tmp_path):
    names = [
        f"test/section_00_{domain}_test_{label}_{number:04d}_x_1.wav"
        for number, (domain, label) in enumerate(
            [("source", "normal"), ("source", "anomaly"), ("target", "normal")] * 3, 1
        )
    ]
    lay(tmp_path / "fan", TRAIN, *names)
    test = read_layout(tmp_path)[0].test
    found = Counter((clip.domain, clip.label) for clip in test)
    assert found == {("source", 0): 3, ("source", 1): 3, ("target", 0): 3}
    assert [clip.path.name for clip in test] == sorted(Path(name).name for name in names)


@pytest.mark.parametrize(
    ("names", "named"),
    [
        ((), "no machine in it"),
        (("notes.txt",), "no machine in it"),
        (("fan/train/readme.txt",), "fan: no clips in this machine's folders"),
        ((f"fan/{TRAIN}", f"fan/{TEST}", "pump/test/readme.txt"), "pump: no clips in this"),
        ((f"fan/{TEST}",), "fan section 00 has no training clips"),
        ((f"fan/{TRAIN}",), "fan section 00 has no test clips"),
        ((f"fan/{TRAIN}", "fan/test/section_01_0000.wav"), "fan section 00 has no test clips"),
        ((f"fan/{TRAIN}", f"fan/{TEST}", "fan/test/monday.wav"), "monday.wav: a name outside"),
        (
            (f"fan/{TRAIN}", f"fan/{TEST}", "fan/train/a.wav", "fan/train/b.wav"),
            r"a.wav \(and 1 more files\)",
        ),
        (
            (f"fan/{TRAIN}", f"fan/{TEST}", "fan/train/section_00_source_test_normal_0001.wav"),
            "named a test clip but lies in train/",
        ),
        (
            (f"fan/{TRAIN}", f"fan/{TEST}", "fan/train/anomaly_id_00_00000000.wav"),
            "an anomaly but lies in train/",
        ),
        (
            (f"fan/{TRAIN}", "fan/target_test/section_00_source_test_0000.wav"),
            "named a source clip but lies in target_test/",
        ),
        ((f"fan/{TRAIN}", f"fan/{TEST}", f"fan/{TEST[:-4]}.flac"), "under two suffixes"),
    ],
)
def test_what_is_missing_or_wrong_is_named_in_one_line(tmp_path, names, named):
    lay(tmp_path, *names)
    with pytest.raises(DatasetError, match=named) as caught:
        read_layout(tmp_path)
    assert "\n" not in str(caught.value)


def test_without_strictness_a_strange_name_is_left_out_with_a_warning(tmp_path):
    lay(tmp_path / "fan", TRAIN, TEST, "test/monday.wav")
    with pytest.warns(FirstshotWarning, match="monday.wav.*left out"):
        (section,) = read_layout(tmp_path, strict=False)
    assert len(section.test) == 1


def test_a_missing_target_domain_is_allowed(tmp_path):
    lay(tmp_path / "fan", TRAIN, TEST)
    assert {clip.domain for clip in read_layout(tmp_path)[0].train} == {"source"}


def test_machines_are_chosen_by_name(tmp_path):
    for machine in ("fan", "pump", "valve"):
        lay(tmp_path / machine, TRAIN, TEST)
    assert [s.machine for s in read_layout(tmp_path, machines=["valve", "fan"])] == ["fan", "valve"]
    with pytest.raises(DatasetError, match="no machine 'toaster'; there are fan, pump, valve"):
        read_layout(tmp_path, machines=["toaster"])


@pytest.mark.parametrize("kind", ["absent", "file"])
def test_a_root_that_is_no_folder_is_named(tmp_path, kind):
    root = tmp_path / "root"
    if kind == "file":
        root.touch()
    with pytest.raises(
        DatasetError, match="no such folder" if kind == "absent" else "not a folder"
    ):
        read_layout(root)


def test_what_the_synthesiser_writes_is_read_back(tmp_path):
    write_dataset(
        tmp_path, ["SynthFan"], clip_seconds=0.1, train_source=3, train_target=2, test_per_class=2
    )
    (section,) = read_layout(tmp_path)
    assert Counter(clip.domain for clip in section.train) == {"source": 3, "target": 2}
    assert set(Counter((clip.domain, clip.label) for clip in section.test).values()) == {2}
    assert all(clip.path.stem.endswith(f"_{clip.attributes}") for clip in section.train)


def test_every_labelled_name_of_past_challenges_is_read():
    truth = SHARED / "golden" / "dcase_evaluator" / "ground_truth"
    if not truth.is_dir():
        pytest.skip("past challenges' label files lie outside the repository and are not here")
    read = 0
    for path in sorted(truth.rglob("ground_truth_attributes/*.csv")):
        labels = dict(_rows(Path(str(path).replace("_attributes", "_data"))))
        domains = dict(_rows(Path(str(path).replace("_attributes", "_domain"))))
        if "2022" in str(path) and ("ToyCar" in path.name or "ToyTrain" in path.name):
            continue  # the challenge's own files contradict each other there
        for name, labelled in _rows(path):
            parsed = parse_clip_name(labelled)
            assert parsed is not None, labelled
            assert parsed.label == int(labels[name]), labelled
            assert parsed.domain == ("target" if int(domains[name]) else "source"), labelled
            read += 1
    assert read > 1000


def _rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return [row[:2] for row in csv.reader(file) if row]


def test_the_real_recordings_are_read():
    root = SHARED / "data" / "real_machines"
    if not root.is_dir():
        pytest.skip("the real recordings lie outside the repository and are not here")
    sections = read_layout(root)
    counted = {s.machine: (len(s.train), len(s.test)) for s in sections}
    assert counted == {
        "BearingSlow": (49, 86),
        "BldcMotorA": (34, 58),
        "DroneMotor": (34, 70),
        "MimiiFan": (60, 80),
    }
    assert all(clip.attributes for section in sections for clip in section.train)


@pytest.mark.parametrize("odd", ["a\rb", "a\nb", "caf\udce9", "\x1b[1m"])
def test_a_clip_whose_name_score_files_cannot_hold_is_refused_before_any_work(tmp_path, odd):
    lay(tmp_path / "fan", TRAIN, TEST, TEST.replace("vel_5", odd))
    with pytest.raises(DatasetError, match="score files cannot hold; rename it"):
        read_layout(tmp_path)


@pytest.mark.parametrize("machine", ["my fan", "f\x1ban", "f\udce9n"])
def test_a_machine_whose_name_score_files_cannot_hold_is_refused(tmp_path, machine):
    lay(tmp_path / machine, TRAIN, TEST)
    lay(tmp_path / "pump", TRAIN, TEST)
    with pytest.raises(DatasetError, match="must be a name without spaces"):
        read_layout(tmp_path)
    assert read_layout(tmp_path, machines=["pump"])[0].machine == "pump"


def test_a_section_without_two_digits_is_refused(tmp_path):
    lay(tmp_path / "fan", TRAIN, TEST, TEST.replace("_00_", "_000_"))
    with pytest.raises(DatasetError, match="of section 000, where two digits are expected"):
        read_layout(tmp_path)


@pytest.fixture
def closed(monkeypatch):
    """Refuse to list folders by name; rights do not bind root, who may run this."""
    names: set[str] = set()
    scandir = os.scandir

    def refuse(place):
        if Path(place).name in names:
            raise PermissionError(13, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(listing.os, "scandir", refuse)
    return names


@pytest.mark.parametrize("name", ["fan", "train", "test", "supplemental"])
def test_a_folder_that_cannot_be_listed_is_named(tmp_path, closed, name):
    lay(tmp_path / "fan", TRAIN, TEST, "supplemental/section_00_noise_0000.wav")
    lay(tmp_path / "pump", TRAIN, TEST)
    closed.add(name)
    told = f"{name}: cannot be listed \\(Permission denied\\); make it readable"
    with pytest.raises(DatasetError, match=told):
        read_layout(tmp_path, machines=["fan"])
    assert [file.refused for file in scan_layout(tmp_path, ["fan"]).unused] == [True]


def test_a_root_that_cannot_be_listed_is_named(tmp_path, closed):
    lay(tmp_path / "root" / "fan", TRAIN, TEST)
    closed.add("root")
    with pytest.raises(DatasetError, match="root: cannot be listed"):
        read_layout(tmp_path / "root")


def test_a_machine_that_links_lead_to_again_is_read_once(tmp_path):
    lay(tmp_path / "raw" / "fan", TRAIN, TEST)
    (tmp_path / "dev_data").mkdir()
    (tmp_path / "dev_data" / "raw").symlink_to(tmp_path / "raw")
    assert len(read_layout(tmp_path)) == 1
    (tmp_path / "raw" / "fan_too").symlink_to("fan")
    with pytest.raises(DatasetError, match=r"fan_too: the same folder as .*fan; keep one"):
        read_layout(tmp_path / "raw")


def test_a_clip_that_is_a_pipe_or_leads_nowhere_is_refused(tmp_path):
    fan = lay(tmp_path / "fan", TRAIN, TEST)
    pipe = fan / TEST.replace("0000", "0001")
    os.mkfifo(pipe)
    with pytest.raises(DatasetError, match="is a FIFO"):
        read_layout(tmp_path)
    pipe.unlink()
    pipe.symlink_to("nowhere.wav")
    with pytest.raises(DatasetError, match="does not exist"):
        read_layout(tmp_path)


def test_sound_and_folders_that_are_not_used_are_told_of(tmp_path):
    lay(tmp_path / "fan", TRAIN, TEST, "train/a.m4a", "test/b.mp3", "test/notes.txt")
    lay(tmp_path / "fan", "train/more/c.wav")
    with pytest.warns(FirstshotWarning) as told:
        read_layout(tmp_path)
    assert [str(warning.message) for warning in told] == [
        f"{tmp_path}: left out what is neither .wav nor .flac, 1 .m4a, 1 .mp3 (convert each, as "
        "ffmpeg -i a.m4a a.wav)",
        f"{tmp_path}/fan/train/more: a folder inside train/, where clips lie directly; left out",
    ]


def test_attributes_come_one_by_one_from_a_table_and_as_one_from_a_name(tmp_path):
    folder = lay(tmp_path / "fan", TRAIN, TEST, "test/section_00_0007.wav")
    names = [Path(TRAIN).stem, "section_00_0007"]
    rows = [f"fan/train/{names[0]}.wav,vel,5,mic,1", f"fan/test/{names[1]}.wav,,,mic,2"]
    table = "\n".join(["file_name,d1p,d1v,d2p,d2v", *rows]) + "\n"
    (folder / "attributes_00.csv").write_text(table)
    (section,) = read_layout(tmp_path)
    found = {clip.path.stem: (clip.attributes, clip.values) for clip in section.clips}
    assert found == {
        names[0]: ("vel_5_mic_1", ("vel_5", "mic_1")),
        Path(TEST).stem: ("vel_5", ("vel_5",)),
        names[1]: ("mic_2", ("mic_2",)),
    }
