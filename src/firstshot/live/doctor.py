"""What a person should look at before a machine is watched, and when watching fails.

Input: a detector, a source and a folder, each optional. Output: a `Finding` for each thing that was
looked at: versions, programs, devices, disk, clock, and a short recording with its level and score.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module, metadata
from pathlib import Path
from typing import Literal

import firstshot
from firstshot.errors import FirstshotError
from firstshot.libraries import EXTRAS
from firstshot.live.clock import Clock
from firstshot.live.judging.faults import find_fault
from firstshot.live.scorer import Scorer, open_scorer
from firstshot.live.sources import Sound, make_source
from firstshot.live.sources.microphone import list_devices
from firstshot.live.sources.protocol import SourceEndedError
from firstshot.live.stream import Stream, Window
from firstshot.messages import first_line

LEAST_FREE_BYTES = 10**9
_READ_SECONDS = 1.0
_LATE_SECONDS = 20.0
"""How much longer than a window a recording may take."""
Verdict = Literal["ok", "note", "fault"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: "ok", a "note" to think about, or a "fault" to mend."""

    verdict: Verdict
    what: str
    words: str


def look(
    detector: Path | None,
    input: str | None,  # noqa: A002
    state: Path,
    sound: Sound,
    clock: Clock,
) -> Iterator[Finding]:
    """Yield what is found; a recording is made where a detector and an input are given."""
    yield Finding("ok", "versions", _versions())
    yield from _libraries()
    yield from _devices()
    yield _disk(state)
    yield _clock(clock)
    scorer = None
    if detector is not None:
        try:
            scorer = open_scorer(detector)
            yield Finding("ok", "detector", _describe(scorer))
        except FirstshotError as error:
            yield Finding("fault", "detector", str(error))
    if input is not None and (scorer is not None or detector is None):
        yield from _recording(scorer, input, sound, clock)


def _versions() -> str:
    found = [f"firstshot {firstshot.__version__}", f"Python {platform.python_version()}"]
    for package in ("numpy", "soundfile", "soxr", "torch", "onnxruntime", "openvino"):
        with suppress(metadata.PackageNotFoundError):
            found.append(f"{package} {metadata.version(package)}")
    return f"{', '.join(found)}; {platform.machine()}, {os.cpu_count()} cores"


def _libraries() -> Iterator[Finding]:
    """Tell which libraries and programs of the extra `live` are missing, and what needs them."""
    needs = {
        "sounddevice": "a microphone",
        "paho.mqtt.client": "MQTT",
        "prometheus_client": "metrics",
        "rich": "--tui",
    }
    missing = []
    for module, what in needs.items():
        try:
            import_module(module)
        except (ImportError, OSError) as error:
            missing.append(f"{EXTRAS[module][0]}, for {what} ({first_line(error)})")
    if missing:
        advice = "run `pip install 'firstshot[live]'`, and `apt-get install libportaudio2`"
        yield Finding("note", "libraries", f"missing: {'; '.join(missing)}; {advice}")
    else:
        yield Finding("ok", "libraries", "all of the extra `live`")
    if shutil.which("ffmpeg") is None:
        yield Finding("note", "ffmpeg", "missing, for cameras and m4a files; install ffmpeg")


def _devices() -> Iterator[Finding]:
    try:
        devices = list_devices()
    except FirstshotError:
        return  # told as a missing library
    if devices:
        yield Finding("ok", "devices", "; ".join(devices))
        return
    words = "no device records here; plug in a microphone"
    if sys.platform == "linux" and Path("/dev/snd").exists():
        words += ", and add this user to the group audio"
    yield Finding("note", "devices", words)


def _disk(state: Path) -> Finding:
    """Tell how much room there is for clips and the history."""
    place = state.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    words = f"{free / 10**9:.1f} GB free at {place}"
    if not os.access(place, os.W_OK):
        return Finding("fault", "disk", f"{place} cannot be written to; check its rights")
    if free < LEAST_FREE_BYTES:
        return Finding("note", "disk", f"{words}; clips may soon find no room")
    return Finding("ok", "disk", words)


def _clock(clock: Clock) -> Finding:
    """Tell the time in UTC; a time before this version was installed is wrong for certain."""
    now = clock.now()
    installed = datetime.fromtimestamp(Path(__file__).stat().st_mtime, UTC)
    words = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    if now < installed:
        return Finding("fault", "clock", f"{words} is in the past; set the clock, or start NTP")
    if Path("/run/systemd/system").exists() and not Path("/run/systemd/timesync").exists():
        return Finding("note", "clock", f"{words}; check that it is set over the network (NTP)")
    return Finding("ok", "clock", words)


def _describe(scorer: Scorer) -> str:
    words = (
        f"windows of {scorer.window_seconds:g} s at {scorer.sample_rate} Hz, "
        f"{len(scorer.normal_scores)} normal clips"
    )
    if scorer.normal_levels is not None:
        low, high = scorer.normal_levels
        words += f" of {low:.0f} to {high:.0f} dB"
    return words


def _recording(
    scorer: Scorer | None,
    input: str,  # noqa: A002
    sound: Sound,
    clock: Clock,
) -> Iterator[Finding]:
    """Record one window and score it."""
    if scorer is None:
        yield Finding("note", "recording", "name a detector too; a recording is scored by one")
        return
    try:
        window = _record(scorer, input, sound, clock)
    except FirstshotError as error:
        yield Finding("fault", "recording", str(error))
        return
    if window is None:
        words = f"{input}: too little sound has come for a window of {scorer.window_seconds:g} s"
        yield Finding("fault", "recording", words)
        return
    heard = window.heard
    words = f"level {heard.level_dbfs:.1f} dBFS, {100 * heard.clipped:.2g} % clipped"
    fault = find_fault(heard, scorer.normal_levels)
    if fault is not None or window.score is None or window.p_value is None:
        yield Finding("fault", "recording", f"{words}; {fault or window.fault}")
        return
    words += f"; score {window.score:.4g}, p = {window.p_value:.3g}"
    if window.p_value <= scorer.unusual_p:
        words += "; it sounds unlike what was learned"
    yield Finding("note" if window.p_value <= scorer.unusual_p else "ok", "recording", words)


def _record(
    scorer: Scorer,
    input: str,  # noqa: A002
    sound: Sound,
    clock: Clock,
) -> Window | None:
    """Return the first window that comes, None where none comes in time."""
    source = make_source(input, sound, "", scorer.channels)
    stream: Stream | None = None
    end = clock.monotonic() + scorer.window_seconds + _LATE_SECONDS
    try:
        source.open()
        while clock.monotonic() < end:
            chunk = source.read(_READ_SECONDS)
            if chunk is None:
                continue
            stream = stream or Stream(scorer, chunk.rate)
            if chunk.before:
                stream.gap()
            if windows := stream.push(chunk.samples):
                return windows[0]
    except SourceEndedError:
        pass
    finally:
        source.close()
    return None
