"""Near minus far from the command line: fitted on noise alone, it finds what the room hides."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile
from tests.cli.conftest import Run
from tests.two_channels import RATE, record, write_clips

TEST = [
    f"section_00_source_test_{label}_{n:04}.wav"
    for label in ("normal", "anomaly")
    for n in range(6)
]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A machine's folder as the challenge's of 2026, with clips of noise alone beside it."""
    folder = tmp_path_factory.mktemp("data") / "fan"
    names = [
        f"section_00_{domain}_train_normal_{n:04}_noAttribute.wav"
        for domain, count in (("source", 18), ("target", 4))
        for n in range(count)
    ]
    write_clips(folder / "train", names, first=0)
    write_clips(folder / "test", TEST[:6], first=200)
    write_clips(folder / "test", TEST[6:], first=300, faulty=True)
    noises = [f"section_00_noise_supplemental_normal_{n:04}.wav" for n in range(6)]
    write_clips(folder / "supplemental", noises, first=100, running=False)
    return folder


def test_a_fault_that_the_room_hides_is_found(
    firstshot: Run, machine: Path, tmp_path: Path
) -> None:
    told = {}
    options = ["--channel", "near-far", "--far-noise", machine / "supplemental"]
    for name, given in (("near", ["--channel", "0"]), ("subtracted", options)):
        out = tmp_path / f"{name}.firstshot"
        fitted = firstshot("fit", machine / "train", "-o", out, "-q", *given)
        assert fitted.returncode == 0, fitted.stderr
        scored = firstshot("score", out, machine / "test", "--format", "json", "-q")
        results = json.loads(scored.stdout)["results"]
        told[name] = {
            label: sum(r["is_anomaly"] for r in results if label in r["clip"])
            for label in ("normal", "anomaly")
        }
    assert told["near"]["anomaly"] <= 3
    assert told["subtracted"]["anomaly"] == 6
    assert told["subtracted"]["normal"] <= 1


def test_a_run_fits_on_the_noise_in_supplemental(
    firstshot: Run, machine: Path, tmp_path: Path
) -> None:
    found = {}
    for name, options in (
        ("near", ""),
        ("subtracted", "--channel near-far --far-noise supplemental"),
    ):
        out = tmp_path / name
        done = firstshot("dcase", "run", machine, "--out", out, "-q", *options.split())
        assert done.returncode == 0, done.stderr
        note = "clips of 2 channels, of which channel 0 is used"
        assert (note in done.stdout + done.stderr) == (name == "near")
        found[name] = json.loads((out / "results.json").read_text())
    metrics = {name: one["machines"]["fan_section_00"]["auc_all"] for name, one in found.items()}
    assert metrics["near"] < 0.8
    assert metrics["subtracted"] == 1.0
    settings = found["subtracted"]["settings"]
    assert (settings["channel"], settings["far_noise"]) == ("near-far", "supplemental")
    assert "far_noise" not in found["near"]["settings"]


def test_a_machine_without_noise_of_two_channels_is_told_of(
    firstshot: Run, machine: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "fan"
    copy.mkdir()
    for part in ("train", "test"):
        (copy / part).symlink_to(machine / part)
    (copy / "supplemental").mkdir()
    mono = copy / "supplemental" / "section_00_noise_0000.wav"
    soundfile.write(mono, record(1, running=False)[:, 0], RATE)
    words = "--channel near-far --far-noise supplemental"
    done = firstshot("dcase", "run", copy, "--out", tmp_path / "run", "-q", *words.split())
    assert done.returncode == 0, done.stderr
    assert "no two-channel clips of noise alone in supplemental/" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--far-noise FOLDER", "far_noise with channel 'mean': noise of the room is used by"),
        ("--channel near-far --far-noise no/such", "no/such: "),
    ],
)
def test_a_wrong_option_is_one_line(
    firstshot: Run, machine: Path, tmp_path: Path, options: str, told: str
) -> None:
    words = options.replace("FOLDER", str(machine / "supplemental")).split()
    done = firstshot("fit", machine / "train", "-o", tmp_path / "x.firstshot", "-q", *words)
    assert done.returncode == 2
    assert told in done.stderr.replace("\n", " ")
    assert not (tmp_path / "x.firstshot").exists()


def test_clips_of_one_channel_are_refused_in_one_line(firstshot: Run, tmp_path: Path) -> None:
    for n in range(3):
        soundfile.write(tmp_path / f"{n}.wav", record(n)[:, 0], RATE)
    done = firstshot("fit", tmp_path, "-o", tmp_path / "x.firstshot", "--channel", "near-far", "-q")
    assert done.returncode == 2
    assert "0.wav: has one channel, and near minus far needs two" in done.stderr.replace("\n", " ")
