import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime

import numpy as np
import pytest
import soundfile

from firstshot import ParameterError, SoundError
from firstshot.live.sources import Sound, make_source
from firstshot.live.sources.file import FileSource
from firstshot.live.sources.pcm import RawPipe, StandardInput
from firstshot.live.sources.protocol import SourceEndedError, SourceLostError

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")


def all_of(source):
    chunks = []
    with pytest.raises(SourceEndedError):
        while True:
            chunk = source.read(5.0)
            if chunk is not None:
                chunks.append(chunk)
    return chunks


@pytest.mark.parametrize(
    ("sample_format", "values"),
    [
        ("s16le", np.array([0, 16384, -32768, 8192], "<i2")),
        ("s32le", np.array([0, 2**30, -(2**31), 2**29], "<i4")),
        ("f32le", np.array([0, 0.5, -1, 0.25], "<f4")),
    ],
)
def test_raw_samples_of_each_format_are_about_one(sample_format, values):
    out, into = os.pipe()
    os.write(into, values.tobytes() + b"\x01")  # and a part of a sample, which is dropped
    os.close(into)
    (chunk,) = all_of(RawPipe(out, 1000, 2, sample_format))
    assert chunk.samples.tolist() == [[0.0, 0.5], [-1.0, 0.25]]
    os.close(out)


def test_a_sample_that_comes_in_two_parts_is_joined():
    out, into = os.pipe()
    pipe = RawPipe(out, 1000, 1, "s16le")
    os.write(into, b"\x00\x40\x00")
    assert pipe.read(0.01).samples.tolist() == [[0.5]]
    os.write(into, b"\x40")
    assert pipe.read(0.01).samples.tolist() == [[0.5]]
    assert pipe.read(0.01) is None
    os.close(into)
    os.close(out)


def test_standard_input_refuses_what_cannot_be():
    with pytest.raises(ParameterError, match="sample format 's24': choose one of s16le"):
        StandardInput(16000, 1, "s24")
    with pytest.raises(ParameterError, match="channels 0"):
        StandardInput(16000, 0, "s16le")


def test_a_file_read_fast_has_times_that_count_from_its_beginning(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(12000), 8000)
    os.utime(path, (1_770_000_000, 1_770_000_000))
    source = FileSource(path, fast=True)
    source.open()
    chunks = all_of(source)
    assert [len(chunk.samples) for chunk in chunks] == [4000, 4000, 4000]
    assert [chunk.time for chunk in chunks] == [
        datetime.fromtimestamp(1_770_000_000 - wait, UTC) for wait in (1.0, 0.5, 0.0)
    ]


def test_a_file_that_is_played_comes_at_its_own_speed(tmp_path, monkeypatch):
    from firstshot.live.sources import file as module

    now = [50.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(module.time, "sleep", lambda s: now.__setitem__(0, now[0] + s))
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(80000), 8000)
    source = FileSource(path)
    source.open()
    chunks = all_of(source)
    assert len(chunks) == 20
    assert {chunk.time for chunk in chunks} == {None}
    assert now[0] == pytest.approx(60.0, abs=0.51)


def test_a_file_that_is_no_sound_is_refused_when_it_is_opened(tmp_path):
    path = tmp_path / "a.wav"
    path.write_text("no sound")
    with pytest.raises(SoundError, match="not readable as audio"):
        FileSource(path).open()


@needs_ffmpeg
def test_other_formats_are_decoded_by_ffmpeg(tmp_path):
    t = np.arange(16000) / 16000
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 440 * t), 16000)
    made = tmp_path / "a.m4a"
    subprocess.run(
        ["ffmpeg", "-loglevel", "error", "-i", tmp_path / "a.wav", made], check=True, timeout=60
    )
    source = FileSource(made, fast=True)
    source.open()
    samples = np.concatenate([chunk.samples for chunk in all_of(source)])
    assert len(samples) == pytest.approx(16000, abs=2100)
    assert np.sqrt(np.mean(samples**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.15)
    made.write_bytes(b"nothing")
    with pytest.raises(SoundError, match="ffmpeg cannot decode it"):
        FileSource(made).open()


@needs_ffmpeg
def test_a_stream_comes_through_ffmpeg_with_its_own_rate_and_ends_as_a_loss(tmp_path):
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    soundfile.write(tmp_path / "live.wav", np.full((22050, 2), 0.25), 22050, subtype="FLOAT")
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        source = make_source(f"http://127.0.0.1:{server.server_port}/live.wav", Sound())
        source.open()
        chunks = []
        with pytest.raises(SourceLostError, match="the stream has ended"):
            while True:
                if (chunk := source.read(5.0)) is not None:
                    chunks.append(chunk)
        source.close()
        server.shutdown()
    assert sum(len(chunk.samples) for chunk in chunks) == 22050
    assert {(chunk.rate, chunk.samples.shape[1]) for chunk in chunks} == {(22050, 2)}
    assert float(chunks[0].samples[0, 0]) == 0.25


@needs_ffmpeg
def test_a_camera_that_is_away_is_a_loss_whose_message_hides_the_password():
    source = make_source("rtsp://user:secret-word@127.0.0.1:9/stream", Sound())
    assert source.name == "rtsp://***@127.0.0.1:9/stream"
    with pytest.raises(SourceLostError) as lost:
        source.open()
    assert "secret-word" not in str(lost.value)
    assert "127.0.0.1" in str(lost.value)


@pytest.mark.parametrize("text", ["microphone", "folder:", "file", "ftp://host/a.wav", ""])
def test_an_unknown_input_is_refused_with_what_there_is(text):
    with pytest.raises(ParameterError, match="expected mic, mic:NAME, folder:DIR"):
        make_source(text, Sound())


@pytest.mark.skipif(sys.platform == "win32", reason="select takes sockets only there")
def test_patience_can_be_chosen_for_sources_that_wait(tmp_path):
    assert make_source("stdin", Sound(patience=5.0)).patience == 5.0
    assert make_source(f"folder:{tmp_path}", Sound(patience=5.0)).patience == 5.0
    assert make_source("stdin", Sound(patience=5.0, fast=True)).patience is None
