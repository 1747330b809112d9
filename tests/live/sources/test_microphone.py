import sys
from types import SimpleNamespace

import numpy as np
import pytest

from firstshot import MissingLibraryError, ParameterError
from firstshot.live.sources.microphone import MOST_SECONDS, Microphone, list_devices
from firstshot.live.sources.protocol import SourceLostError

FINE, OVERFLOW = SimpleNamespace(input_overflow=False), SimpleNamespace(input_overflow=True)


class PortAudio:
    """Stands for sounddevice: devices that can be plugged in, and sound that a test plays."""

    class PortAudioError(Exception):
        pass

    def __init__(self, *names, channels=1):
        self.devices = [
            {"name": n, "index": i, "max_input_channels": channels, "default_samplerate": 48000.0}
            for i, n in enumerate(names)
        ] + [{"name": "Speaker", "index": 9, "max_input_channels": 0, "default_samplerate": 48e3}]
        self.opened, self.looked, self.busy = [], 0, False

    def _terminate(self): ...

    def _initialize(self):
        self.looked += 1

    def query_devices(self, kind=None):
        return self.devices[0] if kind else self.devices

    def InputStream(self, **settings):
        if self.busy:
            raise self.PortAudioError("Device unavailable [PaErrorCode -9985]")
        self.opened.append(settings)
        nothing = lambda: None  # noqa: E731
        return SimpleNamespace(start=nothing, abort=nothing, close=nothing)

    def play(self, samples, status=FINE):
        self.opened[-1]["callback"](samples, len(samples), None, status)


@pytest.fixture
def audio(monkeypatch):
    def plug(*names, **more):
        found = PortAudio(*names, **more)
        monkeypatch.setitem(sys.modules, "sounddevice", found)
        return found

    return plug


def block(value=0.5, samples=480):
    return np.full((samples, 1), value, np.float32)


def test_a_microphone_is_found_by_a_part_of_its_name_whatever_its_number(audio):
    found = audio("HDA Intel", "UMM-6 USB", "Webcam")
    source = Microphone("umm-6")
    source.open()
    assert (found.opened[0]["device"], found.opened[0]["samplerate"]) == (1, 48000)
    found.play(block())
    found.play(block(0.25))
    chunk = source.read(1.0)
    assert (chunk.samples.shape, chunk.rate, chunk.before) == ((960, 1), 48000, "")
    assert source.read(0.01) is None


def test_a_name_that_several_have_is_refused_unless_one_has_it_whole(audio):
    found = audio("USB Audio", "USB Audio 2")
    with pytest.raises(ParameterError, match=r"several devices.*USB Audio, USB Audio 2"):
        Microphone("usb").open()
    Microphone("usb audio").open()
    assert found.opened[0]["device"] == 0


def test_a_device_that_is_not_there_may_come_and_is_found_then(audio):
    found = audio("HDA Intel")
    source = Microphone("UMM-6")
    with pytest.raises(SourceLostError, match="no device that records has this name; there are: H"):
        source.open()
    found.devices = PortAudio("UMM-6").devices
    source.open()
    assert found.looked == 2


def test_a_device_that_is_busy_is_a_loss(audio):
    audio("UMM-6").busy = True
    with pytest.raises(SourceLostError, match="Device unavailable"):
        Microphone("UMM-6").open()


def test_too_few_channels_are_refused(audio):
    audio("UMM-6")
    with pytest.raises(ParameterError, match="UMM-6 has 1 channels, and the detector needs 2"):
        Microphone("UMM-6", channels=2).open()


def test_an_overflow_is_a_gap(audio):
    found = audio("UMM-6")
    source = Microphone()
    source.open()
    found.play(block(), OVERFLOW)
    assert source.read(1.0).before == "gap"
    found.play(block())
    assert source.read(1.0).before == ""


def test_what_nobody_reads_is_dropped_and_counted(audio):
    found = audio("UMM-6")
    source = Microphone()
    source.open()
    for _ in range(round(MOST_SECONDS) + 1):
        found.play(block(samples=48000))
    chunk = source.read(1.0)
    assert (len(chunk.samples), chunk.before) == (48000, "gap")
    assert chunk.lost == source.dropped == 48000 * MOST_SECONDS


def test_devices_that_record_are_listed(audio):
    audio("UMM-6", "Webcam")
    assert list_devices() == ["UMM-6 (1 channels, 48000 Hz)", "Webcam (1 channels, 48000 Hz)"]


def test_a_missing_library_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(MissingLibraryError, match=r"pip install 'firstshot\[live\]'"):
        Microphone().open()


def test_the_real_portaudio_lists_its_devices():
    pytest.importorskip("sounddevice", exc_type=(ImportError, OSError))
    assert isinstance(list_devices(), list)


def test_a_computer_without_a_microphone_says_so(audio):
    audio()
    with pytest.raises(SourceLostError, match="no device records here"):
        Microphone().open()
