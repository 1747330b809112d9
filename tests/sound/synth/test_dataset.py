import errno
import hashlib
import io
import wave
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from firstshot.errors import OutputError, ParameterError
from firstshot.sound.synth import FAULTS, MACHINES
from firstshot.sound.synth.dataset import wav_bytes, write_dataset

SMALL = {"clip_seconds": 0.2, "train_source": 4, "train_target": 2, "test_per_class": 2}


def write(root: Path, machines=("SynthFan", "SynthPump"), **settings) -> dict[str, bytes]:
    write_dataset(root, machines, **(SMALL | settings))
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def test_two_runs_are_equal_byte_for_byte(tmp_path):
    assert write(tmp_path / "a") == write(tmp_path / "b")
    assert write(tmp_path / "a") != write(tmp_path / "c", seed=1)


def test_a_clip_is_the_same_whatever_other_clips_are_made(tmp_path):
    few = write(tmp_path / "few", machines=["SynthPump"])
    many = write(tmp_path / "many", train_source=6, train_target=3, test_per_class=3)
    sound = {name for name in few if name.endswith(".wav")}
    assert len(sound) == 14
    assert all(few[name] == many[name] for name in sound)


def test_the_bytes_of_a_clip_stay_those_of_the_first_release(tmp_path):
    files = write(tmp_path, machines=MACHINES)
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(name.encode() + files[name])
    assert digest.hexdigest() == (
        "a4a2c0add0da3ee87f6df5c9a7044d0ad75c25de0ea165f92d4ae3dc53f16921"
    )


def test_the_layout_is_the_challenge_s(tmp_path):
    files = write(tmp_path, machines=["SynthFan"])
    names = sorted(name for name in files if name.endswith(".wav"))
    assert len(names) == 4 + 2 + 4 * 2
    assert names[0].startswith("SynthFan/test/section_00_source_test_anomaly_0000_rpm_")
    assert names[-1].startswith("SynthFan/train/section_00_target_train_normal_0001_rpm_")
    rows = files["SynthFan/attributes_00.csv"].decode().splitlines()
    assert rows[0] == "file_name,d1p,d1v,d2p,d2v,d3p,d3v"
    assert sorted(row.split(",")[0] for row in rows[1:]) == names
    for row in rows[1:]:
        name, *pairs = row.split(",")
        assert name.endswith("_".join(pairs) + ".wav")
    faults = [row.split(",") for row in files["SynthFan/faults_00.csv"].decode().splitlines()[1:]]
    assert [name for name, *_ in faults] == [name for name in names if "_anomaly_" in name]
    assert {fault for _, fault, _ in faults} <= set(FAULTS["SynthFan"])
    with wave.open(io.BytesIO(files[names[0]])) as clip:
        assert clip.getparams()[:4] == (1, 2, 16000, 3200)


def test_a_wav_file_holds_the_rounded_samples():
    content = wav_bytes(np.array([0.0, 0.5, -1.0, 1.0], dtype=np.float32))
    assert np.frombuffer(content[44:], "<i2").tolist() == [0, 16384, -32767, 32767]


def test_severities_are_drawn_from_the_range(tmp_path):
    files = write(tmp_path, ["SynthValve"], severity=(0.3, 0.4), test_per_class=8)
    rows = files["SynthValve/faults_00.csv"].decode().splitlines()[1:]
    severities = [float(row.split(",")[2]) for row in rows]
    assert all(0.3 <= severity <= 0.4 for severity in severities)
    assert len(set(severities)) > 10


def test_an_interrupted_run_is_completed_and_what_is_there_is_kept(tmp_path):
    whole = write(tmp_path)
    clips = sorted((tmp_path / "SynthFan" / "test").glob("*.wav"))
    clips[0].unlink()
    (tmp_path / "SynthFan" / "attributes_00.csv").unlink()
    partial = clips[0].with_name(f".{clips[0].name}.x1.part")
    partial.write_bytes(b"RIFF cut sho")  # as kill -9 leaves it
    before = clips[1].stat().st_mtime_ns
    again = write(tmp_path)
    assert {name: again[name] for name in whole} == whole
    assert [name for name in again if name not in whole] == [
        partial.relative_to(tmp_path).as_posix()  # hidden, and read by nobody
    ]
    assert clips[1].stat().st_mtime_ns == before
    assert clips[0].read_bytes()[:4] == b"RIFF"
    assert len(clips[0].read_bytes()) == len(clips[1].read_bytes())


def test_progress_counts_every_clip_to_the_total(tmp_path):
    calls = []
    write(tmp_path, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(done, 28) for done in range(1, 29)]


@pytest.mark.parametrize(
    "stranger",
    [
        "notes.txt",
        "SynthFan/report.html",
        "SynthFan/train/section_00_source_train_normal_0099_.wav",
    ],
)
def test_a_folder_with_other_files_is_refused_before_anything_is_written(tmp_path, stranger):
    path = tmp_path / stranger
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    with pytest.raises(OutputError, match=Path(stranger).name):
        write(tmp_path)
    assert [found for found in tmp_path.rglob("*") if found.is_file()] == [path]


def test_another_seed_never_mixes_into_a_data_set(tmp_path):
    whole = write(tmp_path)
    with pytest.raises(OutputError, match="choose an empty folder"):
        write(tmp_path, seed=1)
    assert write(tmp_path) == whole


def test_an_altered_clip_is_refused_and_not_overwritten(tmp_path):
    write(tmp_path)
    clip = min((tmp_path / "SynthFan" / "train").glob("*.wav"))
    clip.write_bytes(b"mine")
    with pytest.raises(OutputError, match=clip.name):
        write(tmp_path)
    assert clip.read_bytes() == b"mine"


def test_a_root_that_is_a_file_is_refused(tmp_path):
    root = tmp_path / "set"
    root.write_text("mine")
    with pytest.raises(OutputError, match="choose another folder"):
        write(root)


def test_a_full_disk_is_one_line_and_leaves_no_partial_file(tmp_path, monkeypatch):
    def fill(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", fill)
    with pytest.raises(OutputError, match="No space left") as caught:
        write(tmp_path)
    assert "\n" not in str(caught.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "settings",
    [
        {"machines": ["Toaster"]},
        {"machines": []},
        {"machines": "SynthFan"},
        {"train_source": 0},
        {"test_per_class": -1},
        {"train_target": 10_001},
        {"severity": (0.8, 0.2)},
        {"severity": (0.0, 1.1)},
        {"clip_seconds": 1e9},
        {"clip_seconds": float("nan")},
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_written(tmp_path, settings):
    with pytest.raises(ParameterError):
        write_dataset(tmp_path / "set", **(SMALL | settings))
    assert not (tmp_path / "set").exists()


def log_spectrum_statistics(content: bytes) -> np.ndarray:
    """Mean and deviation over time of 40 log bands, the clip's level removed."""
    signal = np.frombuffer(content[44:], "<i2") / 32768.0
    frames = np.lib.stride_tricks.sliding_window_view(signal, 512)[::160] * np.hanning(512)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    edges = np.unique(np.geomspace(2, 250, 41).astype(int))
    bands = np.log(np.add.reduceat(power, edges, axis=1)[:, :-1] + 1e-9)
    bands = bands - np.log(np.exp(bands).mean())
    flux = np.abs(np.diff(bands, axis=0)).mean(axis=0)
    return np.concatenate([bands.mean(axis=0), bands.std(axis=0), flux])


@pytest.mark.parametrize("machine", MACHINES)
def test_a_nearest_neighbour_finds_faults_above_chance_and_below_perfection(tmp_path, machine):
    files = write(
        tmp_path, [machine], clip_seconds=1.5, train_source=60, train_target=10, test_per_class=20
    )
    rows = {name: log_spectrum_statistics(files[name]) for name in files if name.endswith("wav")}
    train = np.array([row for name, row in rows.items() if "/train/" in name])
    test = [name for name in rows if "/test/" in name]
    queries = (np.array([rows[name] for name in test]) - train.mean(0)) / train.std(0)
    bank = (train - train.mean(0)) / train.std(0)
    scores = ((queries[:, None] - bank) ** 2).sum(-1).min(1)
    auc = roc_auc_score(["_anomaly_" in name for name in test], scores)
    assert 0.58 < auc < 0.97
