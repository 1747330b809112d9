from pathlib import Path

import numpy as np
import pytest
import soundfile
from tests.two_channels import write_clips

from firstshot.dcase.data.check import CheckReport, check
from firstshot.dcase.data.layout import read_layout
from firstshot.errors import DatasetError
from firstshot.sound.synth.dataset import write_dataset

SHARED = Path(__file__).resolve().parents[3] / ".." / "shared"


@pytest.fixture
def fan(tmp_path):
    """A small complete data set of one machine; the fixture is the machine's folder."""
    write_dataset(
        tmp_path, ["SynthFan"], clip_seconds=0.1, train_source=3, train_target=2, test_per_class=2
    )
    return tmp_path / "SynthFan"


def told(report: CheckReport, level: str) -> list[str]:
    return [f"{found.where}: {found.what}" for found in report.findings if found.level == level]


def clip_of(folder: Path, pattern: str) -> Path:
    return min(folder.glob(pattern))


def test_a_complete_data_set_is_ok_and_counted(fan):
    report = check(fan.parent)
    assert report.ok
    assert report.findings == ()
    (counts,) = report.sections
    assert counts.train == {"source": 3, "target": 2}
    assert counts.test == {(d, label): 2 for d in ("source", "target") for label in (0, 1)}
    assert (counts.sample_rates, counts.channels, counts.seconds) == ((16000,), (1,), (0.1, 0.1))


def test_the_report_is_a_table_with_a_verdict(fan):
    report = check(fan.parent)
    header, row = report.table()
    assert " ".join(row) == "SynthFan 00 3 2 2/2 2/2 0 0/0 16000 1 0.10"
    assert (header[0], header[1], header[8]) == ("machine", "section", "Hz")
    (verdict,) = report.lines()
    assert verdict == f"{fan.parent}: complete; 0 faults, 0 oddities"


def test_a_test_clip_that_is_byte_equal_to_a_training_clip_is_named(fan):
    train, test = clip_of(fan, "train/*"), clip_of(fan, "test/*_normal_*")
    test.write_bytes(train.read_bytes())
    report = check(fan.parent)
    assert told(report, "odd") == [f"{test}: byte-equal to the train clip {train}"]
    assert report.ok


def test_clips_that_differ_in_the_last_sample_only_are_not_duplicates(fan):
    first, second = sorted(fan.glob("train/*"))[:2]
    sound = np.zeros(40_000, dtype=np.int16)
    soundfile.write(first, sound, 16000)
    sound[-1] = 1
    soundfile.write(second, sound, 16000)
    assert not any("byte-equal" in line for line in told(check(fan.parent), "odd"))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "not readable as audio (it is an empty file)"),
        (b"RIFF but no sound at all", "not readable as audio (a RIFF file that is not a WAV)"),
    ],
)
def test_a_file_that_is_no_sound_is_a_fault(fan, content, what):
    clip = clip_of(fan, "test/*")
    clip.write_bytes(content)
    report = check(fan.parent)
    assert not report.ok
    (fault,) = told(report, "fault")
    assert fault.startswith(f"{clip}: {what}")
    assert "cannot be run as it is; 1 faults, 0 oddities" in report.lines()[-1]


def test_a_sound_file_without_a_sample_is_a_fault(fan):
    clip = clip_of(fan, "train/*")
    soundfile.write(clip, np.zeros(0), 16000)
    assert told(check(fan.parent), "fault") == [f"{clip}: a sound file without a sample"]


def test_rates_channels_and_lengths_that_differ_are_odd(fan):
    soundfile.write(clip_of(fan, "train/*"), np.zeros((1200, 2)), 8000)
    report = check(fan.parent)
    assert report.ok
    assert report.sections[0].sample_rates == (8000, 16000)
    assert [line.split(": ")[1] for line in told(report, "odd")] == [
        "clips of several sample rates (8000, 16000) Hz",
        "clips of several channel counts (1, 2)",
        "clips of unequal length, 0.100 to 0.150 s",
    ]


def test_two_channels_are_told_of_with_what_can_be_done_with_them(tmp_path):
    raw = tmp_path / "dcase2026t2" / "dev_data" / "raw"
    train = ["section_00_source_train_normal_0000_car_A1_spd_28V_mic_1_mic_2"]
    train += ["section_00_target_train_normal_0990_noAttribute"]
    for machine, seconds in (("fan", 0.2), ("ToyCarEmu", 0.24)):
        test = [
            f"section_00_source_test_{label}_{n:04}"
            for label in ("normal", "anomaly")
            for n in (0, 1)
        ]
        write_clips(raw / machine / "train", [f"{name}.wav" for name in train], 0, seconds=seconds)
        write_clips(raw / machine / "test", [f"{name}.wav" for name in test], 9, seconds=seconds)
    noise = ["section_00_noise_supplemental_normal_0000.wav"]
    write_clips(raw / "fan" / "supplemental", noise, 20, running=False, seconds=0.2)
    report = check(tmp_path / "dcase2026t2")
    assert report.ok
    assert [counts.channels for counts in report.sections] == [(2,), (2,)]
    assert report.lines()[-2] == (
        "two channels in 2 sections: 0 is near the machine and 1 far, as in 2026; a run takes "
        "channel 0, and --channel near-far subtracts the far one (with --far-noise supplemental in "
        "1 of them)"
    )


def test_all_names_outside_the_grammar_are_listed_not_the_first_only(fan):
    for name in ("train/monday.wav", "test/tuesday.wav", "test/notes.txt"):
        (fan / name).touch()
    (fan / "train" / "more").mkdir()
    report = check(fan.parent)
    faults, oddities = told(report, "fault"), told(report, "odd")
    assert [fault.split(": ")[0] for fault in faults] == [
        str(fan / "train/monday.wav"),
        str(fan / "test/tuesday.wav"),
    ]
    assert all("section_<SS>" in fault for fault in faults)
    assert oddities == [
        f"{fan / 'train/more'}: a folder inside train/, where clips lie directly",
        f"{fan / 'test/notes.txt'}: neither .wav nor .flac",
    ]


def test_attributes_that_are_missing_or_do_not_match_are_odd(fan):
    table = fan / "attributes_00.csv"
    lines = table.read_text().splitlines()
    gone = Path(lines[1].split(",")[0]).stem
    table.write_text("\n".join([lines[0], *lines[2:], "SynthFan/test/ghost.wav,vel,1"]) + "\n")
    assert told(check(fan.parent), "odd") == [
        f"{fan}: 1 clips are not in attributes_00.csv, such as {gone}",
        f"{fan}: 1 names without a clip are in attributes_00.csv, such as ghost",
    ]
    table.unlink()
    (line,) = told(check(fan.parent), "odd")
    assert line == f"{fan}: no attributes_*.csv; attributes are taken from the names"


def test_an_unreadable_attribute_table_is_a_fault(fan):
    (fan / "attributes_00.csv").write_text("a.wav,vel,6\n")
    (fault,) = told(check(fan.parent), "fault")
    assert "attributes_00.csv: its first line lacks the column file_name" in fault


@pytest.mark.parametrize(
    ("removed", "level", "what"),
    [
        ("train/*", "fault", "no training clips"),
        ("train/*_source_*", "fault", "no source training clips"),
        ("train/*_target_*", "odd", "no target training clips; all are taken as one domain"),
        ("test/*", "fault", "no test clips"),
        ("test/*_anomaly_*", "odd", "test clips are all normal or all anomalous: no AUC"),
    ],
)
def test_what_a_section_lacks_is_told(fan, removed, level, what):
    for path in fan.glob(removed):
        path.unlink()
    (fan / "attributes_00.csv").write_text("file_name\n")
    report = check(fan.parent)
    assert f"SynthFan section 00: {what}" in told(report, level)
    assert report.ok is (level == "odd")


def test_unlabelled_evaluation_clips_are_odd_and_counted(fan):
    for number, path in enumerate(sorted(fan.glob("test/*"))):
        path.rename(path.with_name(f"section_00_{number:04d}.wav"))
    report = check(fan.parent)
    assert report.ok
    assert "SynthFan section 00: test clips are unlabelled: scores, but no metrics" in told(
        report, "odd"
    )
    assert report.table()[1][6] == "8"


def test_supplemental_clips_are_counted_by_kind(fan):
    (fan / "supplemental").mkdir()
    names = (
        "section_00_machine_0001_",
        "section_00_noise_supplemental_normal_0000",
        "section_00_0",
    )
    for frames, name in enumerate(names, 1601):
        soundfile.write(fan / "supplemental" / f"{name}.wav", np.zeros(frames), 16000)
    report = check(fan.parent)
    assert report.sections[0].supplemental == {"clean": 1, "noise": 1, None: 1}
    assert report.table()[1][7] == "1/1"
    assert any("1 supplemental clips name neither" in line for line in told(report, "odd"))


def test_a_machine_without_clips_is_a_fault(fan):
    (fan.parent / "pump" / "train").mkdir(parents=True)
    assert told(check(fan.parent), "fault") == [
        f"{fan.parent / 'pump'}: no clips in this machine's folders"
    ]
    assert check(fan.parent, machines=["SynthFan"]).ok


def test_progress_counts_every_clip(fan):
    calls = []
    check(fan.parent, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(done, 13) for done in range(1, 14)]


def test_no_folder_at_all_is_an_error(tmp_path):
    with pytest.raises(DatasetError, match="no such folder"):
        check(tmp_path / "nowhere")


def test_what_is_ok_is_what_the_reader_takes(fan):
    assert check(fan.parent).ok
    read_layout(fan.parent)
    (fan / "test" / "monday.wav").write_bytes(clip_of(fan, "test/*").read_bytes())
    assert not check(fan.parent).ok
    with pytest.raises(DatasetError):
        read_layout(fan.parent)


def test_the_real_recordings_are_complete_and_their_repeated_clips_are_found():
    root = SHARED / "data" / "real_machines"
    if not root.is_dir():
        pytest.skip("the real recordings lie outside the repository and are not here")
    report = check(root)
    assert report.ok
    assert {row[0]: row[2:6] for row in report.table()[1:]} == {
        "BearingSlow": ("39", "10", "19/24", "19/24"),
        "BldcMotorA": ("24", "10", "16/24", "12/6"),
        "DroneMotor": ("24", "10", "16/36", "13/5"),
        "MimiiFan": ("50", "10", "20/20", "20/20"),
    }
    assert all("byte-equal" in line and "DroneMotor" in line for line in told(report, "odd"))
    assert len(report.findings) == 10  # throttle 30 and 40 % share recordings in the source itself


def test_what_a_run_would_refuse_is_a_fault(fan):
    cut = clip_of(fan / "test", "*.wav")
    cut.write_bytes(cut.read_bytes()[:1000])
    short = sorted((fan / "test").glob("*.wav"))[1]
    soundfile.write(short, np.full(100, 0.1), 16000)
    for clip in sorted((fan / "train").glob("*.wav"))[1:]:
        clip.unlink()
    faults = told(check(fan.parent), "fault")
    start = f"{cut}: truncated, 478 of the 1600 samples its header promises are there"
    assert any(fault.startswith(start) for fault in faults)
    assert f"{short}: shorter than 0.1 s" in faults
    assert any("one training clip, where two at least are needed" in fault for fault in faults)


def test_names_that_would_act_on_a_terminal_are_escaped_in_the_report(fan):
    clip = clip_of(fan, "test/*")
    clip.rename(clip.with_name(clip.stem + "\x1b[2J\n.wav"))
    report = check(fan.parent)
    assert not report.ok
    assert not [line for line in report.lines() if set(line) & {"\x1b", "\n"}]
    assert any("\\x1b[2J\\x0a.wav: a name with" in line for line in report.lines())


def test_a_clip_without_the_right_to_read_it_is_a_fault(fan, monkeypatch):
    clip = clip_of(fan, "test/*")
    opened = Path.open

    def refuse(self, *args, **kwargs):
        if self == clip:
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refuse)
    assert told(check(fan.parent), "fault") == [
        f"{clip}: cannot be opened (Permission denied); check its name and its rights"
    ]
