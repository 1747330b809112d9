"""A file that is no audio is refused with what is wrong, what was expected, what to do."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import soundfile

from firstshot.errors import SoundError
from firstshot.sound.audio import load_waveform

RATE = 16000


def riff(*chunks):
    body = b"".join(name + struct.pack("<I", len(content)) + content for name, content in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WAVE" + body


def fmt(tag=1, channels=1, rate=RATE):
    return b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, 2 * rate, 2, 16)


DATA = b"data", bytes(8000)
CASES = [
    (b"", "it is an empty file", "copy or record it again"),
    (b"\n<!DOCTYPE html><html>404</html>", "it is a web page", "download the recording again"),
    (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer", "run `git lfs pull`"),
    (bytes.fromhex("00051607") + bytes(500), "macOS file attributes", "leave it out"),
    (b"PK\3\4" + bytes(500), "it is an archive", "unpack it"),
    (b"ID3\3\0\0\0\0\0\0" + bytes(500), "an ID3 tag without MP3 frames", "convert it again"),
    (b"not sound at all" * 50, "no audio format that is supported", "convert it again"),
    (riff(fmt(rate=0), DATA), "its header says 0 Hz and 1 channels", "convert it again"),
    (riff(fmt(channels=0), DATA), "its header says 16000 Hz and 0 channels", "convert it again"),
    (riff(fmt()), "it has no 'data' chunk", "convert it again"),
    (riff(DATA), "it has no 'fmt ' chunk", "convert it again"),
    (riff(DATA, fmt()), "its 'data' chunk comes before its 'fmt ' chunk", "convert it again"),
    (riff(fmt(), DATA, DATA), "it has 2 'data' chunks, expected one", "convert it again"),
    (riff(fmt(tag=0x0161), DATA), "its codec (WAV format tag 0x0161) is not", "ffmpeg -i FILE"),
    (b"BW64" + riff(fmt(), DATA)[4:], "BW64 is not supported", "ffmpeg -i FILE"),
]


@pytest.mark.parametrize(("content", "reason", "advice"), CASES)
def test_a_file_that_is_no_audio_is_reported_with_reason_and_advice(
    tmp_path, content, reason, advice
):
    path = tmp_path / "clip.wav"
    path.write_bytes(content)
    with pytest.raises(SoundError) as error:
        load_waveform(path, RATE)
    said = str(error.value)
    assert said.startswith(f"{path}: not readable as audio (")
    assert reason in said
    assert advice in said


def test_no_error_text_of_the_library_reaches_a_message(tmp_path):
    """Flip the header of each kind of file, byte by byte, and look for the library's own words."""
    inner = ("SF_INFO", "psf", "Internal", "struct", "malloc", "Error", "marker", "libsndfile")
    noise = 0.1 * np.random.default_rng(0).standard_normal(2000)
    path = tmp_path / "clip"
    for container in ("WAV", "WAVEX", "AIFF", "AU", "W64", "CAF", "FLAC", "OGG", "RF64"):
        subtype = "VORBIS" if container == "OGG" else "PCM_16"
        soundfile.write(path, noise, RATE, format=container, subtype=subtype)
        whole = path.read_bytes()
        for place in range(0, 80, 2):
            path.write_bytes(whole[:place] + b"\xee\xee" + whole[place + 2 :])
            try:
                load_waveform(path, RATE)
            except SoundError as error:
                said = str(error).removeprefix(str(path))
                assert not any(word in said for word in inner), said


def test_raw_samples_are_reported_with_a_command(tmp_path):
    (tmp_path / "a.raw").write_bytes(bytes(3200))
    with pytest.raises(SoundError, match=r"samples without a header .*; convert it .*-f s16le"):
        load_waveform(tmp_path / "a.raw", RATE)
