"""Synthetic machines become a data set on disk in the layout and with the names of the challenge.

Input: a folder, machine names, a seed, counts; output: ROOT/<machine>/{train,test}/*.wav (16 kHz,
mono, 16 bit), attributes_00.csv as the challenge ships it, and faults_00.csv (ours): the fault and
its severity in every anomalous clip. The random numbers of a clip depend only on seed, machine,
split, domain, label and number, so it is the same whatever other clips are made.
"""

from __future__ import annotations

import io
import itertools
import wave
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from firstshot.disk.files import write_result
from firstshot.domains import DOMAINS
from firstshot.errors import OutputError, ParameterError
from firstshot.messages import shown_value
from firstshot.numbers import check_whole
from firstshot.sound.synth.clips import FAULTS, MACHINES, check_seconds, check_seed, make_clip
from firstshot.sound.synth.parts import SAMPLE_RATE, Dice

SECTION = "00"
_TABLES = ("attributes_00.csv", "faults_00.csv")
_STEM_TOKENS = 6
MOST_CLIPS = 10_000


@dataclass(frozen=True)
class PlannedClip:
    """One clip of the set before it is synthesised; `number` counts within its class."""

    machine: str
    split: str
    domain: str
    label: str
    number: int

    @property
    def stem(self) -> str:
        """The file name up to its attributes."""
        return f"section_{SECTION}_{self.domain}_{self.split}_{self.label}_{self.number:04d}"


def write_dataset(
    root: Path,
    machines: Sequence[str] = MACHINES,
    seed: int = 0,
    clip_seconds: float = 2.5,
    train_source: int = 100,
    train_target: int = 10,
    test_per_class: int = 25,
    severity: tuple[float, float] = (0.2, 1.0),
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a synthetic data set; existing files with the same bytes are kept.

    Parameters
    ----------
    root : Path
        A new or empty folder, or that of an interrupted call with the same settings.
    machines : sequence of str
        Names of `MACHINES`; folders of other synthetic machines beside them are not changed.
    seed, clip_seconds : int, float
        The same seed gives the same bytes; every clip is `clip_seconds` long.
    train_source, train_target, test_per_class : int
        Normal training clips per domain; test clips per domain and label, with each fault in turn.
    severity : (float, float)
        Severities of the faults are drawn evenly from this range (within 0 to 1).
    progress : callable
        Called after each clip with the number of clips done and their total.

    Raises
    ------
    ParameterError, OutputError
        A setting outside its range; a folder that holds other files or cannot be written.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> folder = Path(mkdtemp())
    >>> write_dataset(folder, ["SynthFan"], clip_seconds=0.2, train_source=2, test_per_class=1)
    >>> len(list(folder.glob("SynthFan/train/section_00_source_train_normal_*.wav")))
    2
    """
    check_seed(seed)
    check_seconds(clip_seconds)
    _check_settings(machines, (train_source, train_target, test_per_class), severity)
    counts = {"train_source": train_source, "train_target": train_target, "test": test_per_class}
    plan = {name: tuple(_plan(name, counts)) for name in dict.fromkeys(machines)}
    total, done = sum(map(len, plan.values())), itertools.count(1)
    for machine, clips in plan.items():
        for _ in _write_machine(root, machine, clips, seed, clip_seconds, severity):
            if progress is not None:
                progress(next(done), total)


def _write_machine(
    root: Path,
    machine: str,
    clips: Sequence[PlannedClip],
    seed: int,
    seconds: float,
    severity: tuple[float, float],
) -> Iterator[None]:
    """Write one machine's clips, a step per clip, then its two tables."""
    present = _open_folder(root, machine, {clip.stem for clip in clips})
    attributes, faults = ["file_name,d1p,d1v,d2p,d2v,d3p,d3v"], ["file_name,fault,severity"]
    for clip in clips:
        name, wav, row, fault = _render(clip, seed, seconds, severity)
        if present.get(clip.stem, name) != name:
            _refuse(root / machine / clip.split / present[clip.stem])
        _write_once(root / machine / clip.split / name, wav)
        attributes.append(f"{machine}/{clip.split}/{name},{row}")
        if fault:
            faults.append(f"{machine}/{clip.split}/{name},{fault}")
        yield
    for table, lines in zip(_TABLES, (attributes, faults), strict=True):
        _write_once(root / machine / table, ("\n".join(lines) + "\n").encode())


def _check_settings(
    machines: Sequence[str],
    counts: tuple[int, int, int],
    severity: tuple[float, float],
) -> None:
    """Refuse what cannot be synthesised before anything is written."""
    if isinstance(machines, str) or not machines:
        raise ParameterError(f"machines is {machines!r}; give a list out of {MACHINES}")
    for machine in machines:
        if machine not in MACHINES:
            raise ParameterError(f"machine {machine!r} is not known; choose out of {MACHINES}")
    for name, count in zip(("source", "target", "test"), counts, strict=True):
        check_whole(f"{name} clips", count, int(name == "source"), MOST_CLIPS)
    if not 0.0 <= severity[0] <= severity[1] <= 1.0:
        raise ParameterError(
            f"severity is {shown_value(severity)}; give a low and a high of 0 to 1"
        )


def _plan(machine: str, counts: dict[str, int]) -> Iterator[PlannedClip]:
    """All clips of a machine in the order they are written."""
    for domain in DOMAINS:
        for number in range(counts[f"train_{domain}"]):
            yield PlannedClip(machine, "train", domain, "normal", number)
    for domain in DOMAINS:
        for label in ("normal", "anomaly"):
            for number in range(counts["test"]):
                yield PlannedClip(machine, "test", domain, label, number)


def _render(
    clip: PlannedClip, seed: int, seconds: float, severity: tuple[float, float]
) -> tuple[str, bytes, str, str]:
    """File name, bytes, attributes row and fault row (empty when normal) of a planned clip."""
    dice = Dice("set", seed, clip.machine, clip.split, clip.domain, clip.label, clip.number)
    kinds = FAULTS[clip.machine]
    fault = kinds[clip.number % len(kinds)] if clip.label == "anomaly" else None
    strength = dice.uniform(*severity)
    made = make_clip(clip.machine, fault, strength, clip.domain, seconds, dice)
    tail = "_".join(f"{name}_{value}" for name, value in made.attributes)
    row = ",".join(f"{name},{value}" for name, value in made.attributes)
    fault_row = f"{fault},{strength:.3f}" if fault else ""
    return f"{clip.stem}_{tail}.wav", wav_bytes(made.waveform), row, fault_row


def wav_bytes(waveform: NDArray[np.float32]) -> bytes:
    """16-bit mono WAV file of a waveform within +-1.

    >>> len(wav_bytes(np.zeros(100, dtype=np.float32)))
    244
    """
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(np.rint(waveform * 32767.0).astype("<i2").tobytes())
    return buffer.getvalue()


def _open_folder(root: Path, machine: str, stems: set[str]) -> dict[str, str]:
    """Create a machine's folders, refuse other files; return the clips in them by stem."""
    folder = root / machine
    try:
        for split in ("train", "test"):
            (folder / split).mkdir(parents=True, exist_ok=True)
        beside = [path for path in root.iterdir() if path.name not in MACHINES]
        files = [path for path in folder.rglob("*") if path.name not in ("train", "test", *_TABLES)]
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be written ({error.strerror}); choose another folder"
        ) from error
    present = {}
    for path in sorted(path for path in beside + files if not path.name.startswith(".")):
        stem = "_".join(path.stem.split("_")[:_STEM_TOKENS])
        if stem not in stems:
            _refuse(path)
        present[stem] = path.name
    return present


def _refuse(path: Path) -> NoReturn:
    raise OutputError(
        f"{path}: not part of the data set that these settings give; choose an empty folder"
    )


def _write_once(path: Path, content: bytes) -> None:
    """Write in one step; keep an existing file with the same content."""
    if path.exists():
        if path.read_bytes() != content:
            _refuse(path)
        return
    write_result(path, content)
