"""Recordings of hours in pieces, and what does not fit: a fault of that clip, the others judged."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import soundfile

from firstshot.detector.embedding import (
    Clip,
    EmbeddingSettings,
    batch_embedder,
    embed_all,
    embed_clips,
)
from firstshot.encoders.logmel import LogMel
from firstshot.errors import SoundError
from firstshot.sound import recording
from firstshot.sound.audio import LengthPolicy
from firstshot.store import EmbeddingStore

RATE = 16000


def write(folder, name, seconds, rate=RATE, channels=1):
    samples = 0.1 * np.random.default_rng(len(name)).standard_normal(
        (int(seconds * rate), channels)
    )
    soundfile.write(folder / name, samples, rate)
    return Clip(name, folder / name)


@pytest.fixture
def clips(tmp_path):
    return [
        write(tmp_path, "a.wav", 5.3, 48000, 2),
        write(tmp_path, "bb.wav", 0.7),
        write(tmp_path, "ccc.wav", 70.0),
    ]


@pytest.mark.parametrize("length", ["windows:1", "windows:2:0.5", "fixed:3"])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_recording_read_in_pieces_has_the_embeddings_of_one_that_is_held(
    clips, length, workers, monkeypatch
):
    settings = EmbeddingSettings(LogMel(), (1, 2), length=LengthPolicy.parse(length))
    held = embed_all(clips, settings, workers=workers)
    monkeypatch.setattr(recording, "HELD_SECONDS", 0.5)
    monkeypatch.setattr(batch_embedder, "WINDOW_SECONDS_AT_ONCE", 3.0)
    for one, other in zip(embed_all(clips, settings, workers=workers), held, strict=True):
        assert (one.name, one.digest, one.starts) == (other.name, other.digest, other.starts)
        pairs = zip((*one.layers, one.spectrum), (*other.layers, other.spectrum), strict=True)
        assert all(a.tobytes() == b.tobytes() for a, b in pairs)


def test_what_the_store_holds_of_a_long_recording_is_found_again(clips, tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "HELD_SECONDS", 0.5)
    settings, store = (
        EmbeddingSettings(LogMel(), (1,), length=LengthPolicy("windows", 1.0)),
        tmp_path / "s",
    )
    first = embed_all(clips, settings, store=EmbeddingStore(store))
    for method in ("embed", "measure"):
        monkeypatch.setattr(LogMel, method, None)  # encoding would call it
    again = embed_all(clips, settings, store=EmbeddingStore(store))
    assert [clip.layers[0].tolist() for clip in again] == [c.layers[0].tolist() for c in first]


def faults_of(clips, settings):
    faults: dict[str, str] = {}
    found = embed_clips(
        clips, settings, on_error=lambda clip, error: faults.update({clip.name: str(error)})
    )
    return [clip.name for clip in found], faults


def test_a_clip_that_does_not_fit_into_memory_is_named_and_the_others_are_judged(
    clips, monkeypatch
):
    monkeypatch.setattr(batch_embedder, "free_memory", lambda: 10_000_000)
    good, faults = faults_of(clips, EmbeddingSettings(LogMel(), (1,)))
    assert good == ["a.wav", "bb.wav"]
    assert faults.keys() == {"ccc.wav"}
    assert faults["ccc.wav"].startswith(f"{clips[2].source}: 1 min or more in one piece need about")
    assert "0.0 GB are free; cut it, or fit with --length windows:10" in faults["ccc.wav"]
    assert (
        faults_of(clips, EmbeddingSettings(LogMel(), (1,), length=LengthPolicy("windows", 10.0)))[1]
        == {}
    )


def test_a_rate_of_2_ghz_is_a_fault_of_that_clip_alone(clips, tmp_path):
    odd = write(tmp_path, "d.wav", 1e-5, 2_000_000_000)
    good, faults = faults_of([*clips[:1], odd, *clips[1:]], EmbeddingSettings(LogMel(), (1,)))
    assert good == ["a.wav", "bb.wav", "ccc.wav"]
    assert "d.wav: a sample rate of 2000000000 Hz; expected 16 to" in faults["d.wav"]


@dataclass(frozen=True)
class Greedy(LogMel):
    """Runs out of memory for clips of a second or more, several clips in one call."""

    error: Exception = field(default_factory=MemoryError)
    micro_batch = 4

    def embed(self, waveforms, *args, **kwargs):
        if any(len(waveform) >= RATE for waveform in waveforms):
            raise self.error
        return super().embed(waveforms, *args, **kwargs)

    fingerprint = "greedy"


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 GB")]
)
def test_memory_that_runs_out_while_encoding_loses_no_other_clip_of_the_call(clips, error):
    good, faults = faults_of(clips, EmbeddingSettings(Greedy(error=error), (1,)))
    assert good == ["bb.wav"]
    assert faults.keys() == {"a.wav", "ccc.wav"}
    assert all("there is not enough memory for it; cut it, or fit" in f for f in faults.values())


def test_any_other_fault_of_an_encoder_is_not_taken_for_lack_of_memory(clips):
    with pytest.raises(RuntimeError, match="a fault of the network"):
        faults_of(
            clips, EmbeddingSettings(Greedy(error=RuntimeError("a fault of the network")), (1,))
        )


def test_a_clip_whose_reading_runs_out_of_memory_is_named(clips, monkeypatch):
    def read(path, *args):
        if path.name == "bb.wav":
            raise MemoryError
        return iter([np.ones(RATE, np.float32)])

    monkeypatch.setattr("firstshot.detector.embedding.settings.read_blocks", read)
    good, faults = faults_of(clips, EmbeddingSettings(LogMel(), (1,)))
    assert good == ["a.wav", "ccc.wav"]
    assert faults["bb.wav"].startswith(f"{clips[1].source}: there is not enough memory for it")


def test_a_waveform_that_is_held_whole_is_refused_before_memory_runs_out(tmp_path, monkeypatch):
    from firstshot.sound import audio

    clip = write(tmp_path, "long.wav", 30.0)
    monkeypatch.setattr(audio, "CAREFUL_SECONDS", 10)
    monkeypatch.setattr(audio, "free_memory", lambda: 1000)
    with pytest.raises(SoundError, match=r"long\.wav: \d min or more do not fit into the"):
        audio.load_waveform(clip.source, RATE)
