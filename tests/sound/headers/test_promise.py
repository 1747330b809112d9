"""Headers are held to what they promise: files cut, still being written, or with odd counts."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import soundfile

from firstshot.errors import FirstshotWarning, SoundError
from firstshot.sound.audio import load_waveform
from firstshot.sound.headers.promise import read_promise

RATE = 16000
NOISE = 0.3 * np.random.default_rng(0).standard_normal(RATE)
# Every container whose header tells a length, and its kinds of samples that are coded differently.
FORMATS = [
    *(("WAV", s) for s in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW")),
    *(("WAV", s) for s in ("ALAW", "IMA_ADPCM", "MS_ADPCM", "GSM610", "G721_32", "NMS_ADPCM_32")),
    *(("WAVEX", s) for s in ("PCM_16", "PCM_24", "FLOAT", "ULAW")),
    *(("RF64", s) for s in ("PCM_16", "DOUBLE")),
    *(("W64", s) for s in ("PCM_16", "FLOAT", "ULAW", "IMA_ADPCM", "MS_ADPCM", "GSM610")),
    *(("AIFF", s) for s in ("PCM_S8", "PCM_16", "PCM_24", "FLOAT", "ULAW", "IMA_ADPCM", "GSM610")),
    *(("AU", s) for s in ("PCM_16", "PCM_32", "DOUBLE", "ALAW", "G721_32", "G723_24")),
    *(("CAF", s) for s in ("PCM_16", "FLOAT", "ULAW", "ALAC_16")),
    *(("SVX", s) for s in ("PCM_S8", "PCM_16")),
    *(("NIST", s) for s in ("PCM_16", "ULAW")),
    *(("VOC", s) for s in ("PCM_16", "ALAW")),
    ("AVR", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
]


def write(folder, container, subtype):
    path = folder / f"clip.{container.lower()}"
    soundfile.write(path, NOISE, RATE, format=container, subtype=subtype)
    return path


@pytest.mark.parametrize(("container", "subtype"), FORMATS)
def test_a_whole_file_is_read_without_a_word(tmp_path, container, subtype, recwarn):
    assert len(load_waveform(write(tmp_path, container, subtype), RATE)) >= RATE
    assert [str(w.message) for w in recwarn] == []


@pytest.mark.parametrize("kept", [0.55, 0.9, 0.98])
@pytest.mark.parametrize(("container", "subtype"), FORMATS)
def test_a_cut_file_is_refused_as_truncated(tmp_path, container, subtype, kept):
    path = write(tmp_path, container, subtype)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(SoundError, match="truncated") as error:
        load_waveform(path, RATE)
    assert str(error.value).startswith(f"{path}: ")


def test_a_truncated_file_is_reported_in_samples_where_its_header_counts_them(tmp_path):
    path = write(tmp_path, "AIFF", "PCM_16")
    path.write_bytes(path.read_bytes()[:-2002])
    with pytest.raises(SoundError, match="truncated, 14999 of the 16000 samples its header prom"):
        load_waveform(path, RATE)


def wav(*chunks, tag=1, channels=1, bits=16, size=None):
    align = channels * bits // 8
    fmt = struct.pack("<HHIIHH", tag, channels, RATE, RATE * align, align, bits)
    parts = [(b"fmt ", fmt, None), *chunks]
    body = b"".join(
        name + struct.pack("<I", len(content) if declared is None else declared) + content
        for name, content, declared in parts
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4 if size is None else size) + b"WAVE" + body


PCM = (NOISE * 8000).astype("<i2").tobytes()


def test_a_fact_chunk_that_counts_more_samples_than_a_whole_data_chunk_is_reported(tmp_path):
    path = tmp_path / "clip.wav"
    path.write_bytes(wav((b"fact", struct.pack("<I", 48000), None), (b"data", PCM, None)))
    said = r"its fact chunk counts 48000 samples, its data chunk holds 16000 .*the 1\.0 s that are"
    with pytest.warns(FirstshotWarning, match=said):
        assert len(load_waveform(path, RATE)) == RATE


def test_a_fact_chunk_that_counts_more_samples_than_blocks_of_a_codec_is_a_truncation(tmp_path):
    path = write(tmp_path, "WAV", "IMA_ADPCM")
    content = path.read_bytes()
    fact = content.find(b"fact") + 8
    path.write_bytes(content[:fact] + struct.pack("<I", 48000) + content[fact + 4 :])
    with pytest.raises(SoundError, match="truncated, 16272 of the 48000 samples"):
        load_waveform(path, RATE)


@pytest.mark.parametrize("fact", [0, 16000, 32000, 0xFFFFFFFF, 3_000_000])
def test_a_fact_chunk_with_bytes_nothing_or_nonsense_in_it_is_passed_over(tmp_path, fact, recwarn):
    path = tmp_path / "clip.wav"
    path.write_bytes(wav((b"fact", struct.pack("<I", fact), None), (b"data", PCM, None)))
    assert len(load_waveform(path, RATE)) == RATE
    assert not recwarn.list


def test_a_fact_chunk_that_counts_the_samples_of_all_channels_is_passed_over(tmp_path):
    path = tmp_path / "clip.wav"
    fact = struct.pack("<I", 16000)
    path.write_bytes(wav((b"fact", fact, None), (b"data", PCM, None), channels=2))
    assert len(load_waveform(path, RATE)) == RATE // 2


@pytest.mark.parametrize("size", [0, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_streamed_wav_is_held_to_its_fact_chunk(tmp_path, size):
    path = tmp_path / "clip.wav"
    path.write_bytes(wav((b"fact", struct.pack("<I", 20000), None), (b"data", PCM, size), size=8))
    with pytest.raises(SoundError, match="truncated, 16000 of the 20000 samples"):
        load_waveform(path, RATE)


def test_part_of_a_sample_too_many_in_the_header_loses_nothing(tmp_path):
    path = tmp_path / "clip.wav"
    path.write_bytes(wav((b"data", PCM, len(PCM) + 1)))
    assert len(load_waveform(path, RATE)) == RATE


@pytest.mark.parametrize(
    ("container", "subtype"),
    [("WAV", "PCM_16"), ("WAV", "IMA_ADPCM"), ("W64", "PCM_16"), ("SVX", "PCM_16")],
)
def test_a_file_that_is_still_being_written_is_reported(tmp_path, container, subtype):
    path = tmp_path / "growing"
    with soundfile.SoundFile(path, "w", RATE, 1, subtype, format=container) as file:
        file.write(np.tile(NOISE, 5))
        with pytest.warns(FirstshotWarning, match="does not say how long .*still being written"):
            assert len(load_waveform(path, RATE)) > 4 * RATE


@pytest.mark.parametrize("container", ["AIFF", "AU", "CAF", "RF64", "FLAC"])
def test_a_file_of_which_nothing_can_be_read_until_it_ends_says_so(tmp_path, container):
    path = tmp_path / "growing"
    with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16", format=container) as file:
        file.write(np.tile(NOISE, 5))
        with pytest.raises(SoundError, match=r"still being written\); let the recording end"):
            load_waveform(path, RATE)


def test_sound_beyond_the_length_of_the_header_is_reported(tmp_path):
    path = tmp_path / "clip.wav"
    path.write_bytes(wav((b"data", PCM, len(PCM) // 2)))
    with pytest.warns(FirstshotWarning, match=r"more sound follows than its header says"):
        assert len(load_waveform(path, RATE)) == RATE // 2


@pytest.mark.parametrize("after", [b"LIST\4\0\0\0INFO", b"\0" + b"LIST\4\0\0\0INFO", bytes(512)])
def test_chunks_and_filling_zeros_behind_the_sound_are_no_sound(tmp_path, after, recwarn):
    path = tmp_path / "clip.wav"
    path.write_bytes(wav((b"data", PCM, None)) + after)
    assert len(load_waveform(path, RATE)) == RATE
    assert not recwarn.list


def test_an_ogg_without_its_last_page_is_reported(tmp_path):
    path = tmp_path / "clip.ogg"
    soundfile.write(path, np.tile(NOISE, 20), RATE, format="OGG", subtype="VORBIS")
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rfind(b"OggS")])
    with pytest.warns(FirstshotWarning, match="its last OGG page is not marked as the end"):
        load_waveform(path, RATE)


def mp3_without_index(folder):
    path = folder / "clip.mp3"
    soundfile.write(
        path, np.tile(NOISE, 3), RATE, format="MP3", bitrate_mode="CONSTANT", compression_level=0.5
    )
    content = path.read_bytes()
    second = content.find(content[:2], 4)  # the first frame holds the index
    path.write_bytes(content[second:])
    return path


def test_an_mp3_without_an_index_is_read_and_its_cut_end_is_found(tmp_path):
    path = mp3_without_index(tmp_path)
    assert len(load_waveform(path, RATE)) >= 3 * RATE
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(SoundError, match="truncated, its last MP3 frame is cut"):
        load_waveform(path, RATE)


def test_an_mp3_of_which_only_a_part_can_be_read_for_lack_of_an_index_is_refused(tmp_path):
    path = tmp_path / "clip.mp3"
    # Loud first: the length is guessed from the first frames' bit rate.
    samples = np.concatenate([NOISE, np.zeros(20 * RATE)])
    soundfile.write(path, samples, RATE, format="MP3", bitrate_mode="VARIABLE")
    content = path.read_bytes()
    path.write_bytes(content[content.find(content[:2], 4) :])
    with pytest.raises(SoundError, match="of its frames can be read, as it has no index: convert"):
        load_waveform(path, RATE)


def test_a_header_is_read_whatever_the_file_is_called(tmp_path):
    path = write(tmp_path, "AIFF", "PCM_16").rename(tmp_path / "clip.wav")
    assert read_promise(path).frames == RATE


def test_a_file_of_another_kind_promises_nothing(tmp_path):
    (tmp_path / "note").write_bytes(b"not sound at all" * 100)
    assert read_promise(tmp_path / "note") is None


MAGICS = (
    *(b"RIFF", b"RIFX", b"RF64", b"riff\x2e\x91\xcf\x11", b"FORM", b".snd", b"caff", b"NIST_1A"),
    *(b"2BIT", b"OggS", b"ID3", b"\xff\xfb\x90", b"ALawSoundFile", b"Creative Voice File"),
)


@pytest.mark.parametrize("magic", MAGICS)
def test_random_bytes_behind_a_magic_number_end_in_no_other_error(tmp_path, magic):
    path, rng = tmp_path / "note.wav", np.random.default_rng(len(magic))
    for length in (0, 1, 7, 30, 300, 3000):
        for _ in range(5):
            path.write_bytes(magic + rng.bytes(length))
            with pytest.raises(SoundError) as error:
                load_waveform(path, RATE)
            assert str(error.value).startswith(f"{path}: ")
