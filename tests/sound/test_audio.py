"""Files and arrays become waveforms: every format, width, channel count, rate, length and fault."""

from __future__ import annotations

import os
import struct
import warnings

import numpy as np
import pytest
import soundfile

from firstshot.errors import FirstshotWarning, ParameterError, SoundError
from firstshot.sound.audio import LengthPolicy, load_waveform, read_blocks

RATE = 16000
TONE = (0.4 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)).astype(np.float64)
# (container, subtype, largest error of a sample: half a step, or what a lossy codec leaves)
WIDTHS = [
    ("WAV", "PCM_U8", 1 / 128),
    ("WAV", "PCM_16", 1 / 2**15),
    ("WAV", "PCM_24", 1 / 2**23),
    ("WAV", "PCM_32", 1e-7),
    ("WAV", "FLOAT", 1e-7),
    ("WAV", "DOUBLE", 1e-7),
    ("WAVEX", "PCM_16", 1 / 2**15),
    ("WAV", "ULAW", 0.02),
    ("FLAC", "PCM_16", 1 / 2**15),
    ("FLAC", "PCM_24", 1 / 2**23),
    ("AIFF", "PCM_16", 1 / 2**15),
    ("W64", "PCM_16", 1 / 2**15),
    ("RF64", "PCM_16", 1 / 2**15),
    ("OGG", "VORBIS", 0.05),
]


def write(folder, samples, rate=RATE, container="WAV", subtype="PCM_16", name="clip"):
    path = folder / f"{name}.{'wav' if container.startswith('WAV') else container.lower()}"
    soundfile.write(path, samples, rate, format=container, subtype=subtype)
    return path


def one_line(error):
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(("container", "subtype", "tolerance"), WIDTHS)
def test_every_container_and_width_gives_the_samples_that_were_written(
    tmp_path, container, subtype, tolerance
):
    waveform = load_waveform(write(tmp_path, TONE, container=container, subtype=subtype), RATE)
    assert waveform.dtype == np.float32
    assert waveform.shape == (RATE,)
    assert np.abs(waveform - TONE).max() <= tolerance


def test_an_mp3_keeps_the_tone_and_its_level(tmp_path):
    path = tmp_path / "clip.mp3"
    soundfile.write(path, np.tile(TONE, 3), RATE, format="MP3")
    waveform = load_waveform(path, RATE)
    spectrum = np.abs(np.fft.rfft(waveform[RATE : 2 * RATE]))
    assert spectrum.argmax() == 440
    assert waveform[RATE : 2 * RATE].std() == pytest.approx(TONE.std(), rel=0.02)


@pytest.mark.parametrize("channels", [1, 2, 3, 8])
def test_channels_are_averaged_unless_one_is_chosen(tmp_path, channels):
    rng = np.random.default_rng(channels)
    samples = rng.uniform(-0.5, 0.5, (4000, channels)).astype(np.float32)
    path = write(tmp_path, samples, subtype="FLOAT")
    np.testing.assert_allclose(
        load_waveform(path, RATE), samples.astype(np.float64).mean(axis=1), atol=1e-7
    )
    for channel in range(channels):
        assert np.array_equal(load_waveform(path, RATE, channel=channel), samples[:, channel])
        assert np.array_equal(load_waveform(samples, RATE, channel=channel), samples[:, channel])


def test_a_file_of_many_blocks_is_read_whole_and_in_order(tmp_path):
    samples = np.random.default_rng(0).uniform(-1, 1, (12345, 2)).astype(np.float32)
    path = write(tmp_path, samples, subtype="FLOAT")
    blocks = list(read_blocks(path, RATE, 1, print, values_per_block=999))
    assert len(blocks) > 20
    assert np.array_equal(np.concatenate(blocks), samples[:, 1])


@pytest.mark.parametrize("channel", [2, 7, -1])
def test_a_channel_that_is_not_there_is_refused_with_how_many_there_are(tmp_path, channel):
    path = write(tmp_path, np.stack([TONE, TONE], axis=1))
    with pytest.raises(SoundError, match=r"channel -?\d was requested, it has 2 .*'mean'") as error:
        load_waveform(path, RATE, channel=channel)
    assert str(path) in one_line(error)


@pytest.mark.parametrize("channel", ["left", 0.5, True, None])
def test_a_channel_that_is_no_number_is_refused(channel):
    with pytest.raises(ParameterError, match="expected a number from 0 on, 'mean' or 'near-far'"):
        load_waveform(TONE, RATE, channel=channel)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000])
def test_a_resampled_tone_keeps_frequency_level_and_length(tmp_path, rate):
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(2 * rate) / rate)
    waveform = load_waveform(write(tmp_path, tone, rate, subtype="FLOAT"), RATE)
    assert waveform.shape == (2 * RATE,)
    expected = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(2 * RATE) / RATE)
    # The ends of a resampled clip ring; a tenth of a second in, it is the tone itself.
    inner = slice(RATE // 10, -RATE // 10)
    assert np.abs(waveform[inner] - expected[inner]).max() < 1e-3


def test_resampling_lets_nothing_above_half_the_new_rate_through():
    whistle = np.sin(2 * np.pi * 12000 * np.arange(96000) / 48000)
    assert load_waveform(whistle, RATE, source_rate=48000)[2000:-2000].std() < 1e-4


@pytest.mark.parametrize(
    ("dtype", "zero", "unit"),
    [
        (np.int8, 0, 2**7),
        (np.int16, 0, 2**15),
        (np.int32, 0, 2**31),
        (np.uint8, 2**7, 2**7),
        (np.uint16, 2**15, 2**15),
    ],
)
def test_integer_arrays_are_scaled_by_their_full_range(dtype, zero, unit):
    wanted = np.linspace(-1, 1, 1600, endpoint=False)
    waveform = load_waveform((wanted * unit + zero).astype(dtype), RATE)
    assert np.abs(waveform - wanted).max() <= 1 / unit + 1e-7
    assert waveform.min() == -1.0


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_float_arrays_are_taken_as_they_are(dtype):
    assert np.array_equal(load_waveform(TONE.astype(dtype), RATE), TONE.astype(dtype).astype("f4"))


def test_lists_and_arrays_of_one_channel_are_the_same_clip():
    wave = load_waveform(TONE, RATE)
    assert np.array_equal(load_waveform(TONE.tolist(), RATE), wave)
    assert np.array_equal(load_waveform(TONE[:, np.newaxis], RATE), wave)


def test_a_loaded_array_is_not_a_window_on_the_callers_memory_after_a_change_of_type():
    samples = TONE.copy()
    waveform = load_waveform(samples, RATE)
    samples[:] = 0
    assert waveform.any()


def test_a_tenth_of_a_second_is_long_enough_and_less_is_not(tmp_path):
    assert len(load_waveform(write(tmp_path, TONE[:1600]), RATE)) == 1600
    with pytest.raises(SoundError, match=r"0\.099 s long; at least 0\.1 s") as error:
        load_waveform(write(tmp_path, TONE[:1590]), RATE)
    assert "clip.wav" in one_line(error)


@pytest.mark.parametrize("rate", [1, 15, 16_000_001, 2_000_000_000])
def test_a_rate_that_no_sound_has_is_refused_before_it_is_resampled(tmp_path, rate):
    path = write(tmp_path, TONE, rate=rate)
    with pytest.raises(SoundError, match=rf"rate of {rate} Hz; expected 16 to 16000000 Hz"):
        load_waveform(path, RATE)
    with pytest.raises(SoundError, match=rf"rate of {rate} Hz; expected 16 to 16000000 Hz"):
        load_waveform(TONE, RATE, source_rate=rate)


def test_there_is_no_limit_to_the_length():
    # A rate of 1 Hz makes hours cheap.
    assert len(load_waveform(np.ones(36000), 1, source_rate=1)) == 36000


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(SoundError, match=r"none\.wav: does not exist; name an audio file"):
        load_waveform(tmp_path / "none.wav", RATE)
    with pytest.raises(SoundError, match="is a folder, not an audio file"):
        load_waveform(str(tmp_path), RATE)


@pytest.mark.parametrize("container", ["WAV", "FLAC", "OGG"])
def test_a_file_without_samples_is_refused(tmp_path, container):
    subtype = "VORBIS" if container == "OGG" else "PCM_16"
    path = write(tmp_path, np.zeros(0), container=container, subtype=subtype)
    with pytest.raises(SoundError, match=r"has no samples|not readable as audio"):
        load_waveform(path, RATE)


@pytest.mark.parametrize("empty", [np.zeros(0), np.zeros((0, 2)), []])
def test_an_array_without_samples_is_refused(empty):
    with pytest.raises(SoundError, match="has no samples"):
        load_waveform(empty, RATE)


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.999])
@pytest.mark.parametrize("container", ["WAV", "WAVEX", "RF64", "FLAC"])
def test_a_truncated_file_is_refused_however_much_is_left(tmp_path, container, kept):
    path = write(tmp_path, np.random.default_rng(0).uniform(-1, 1, RATE), container=container)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(SoundError, match=r"truncated|not readable as audio") as error:
        load_waveform(path, RATE)
    assert str(path) in one_line(error)


def test_a_truncated_mp3_is_refused(tmp_path):
    path = tmp_path / "clip.mp3"
    soundfile.write(path, np.tile(TONE, 3), RATE, format="MP3")
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(SoundError, match="truncated"):
        load_waveform(path, RATE)


@pytest.mark.parametrize("size", [0, 0x7FFFFFFF, 0x7FFFF024, 0xFFFFFFFF])
def test_a_wav_that_was_streamed_to_a_pipe_is_read_as_far_as_it_goes(tmp_path, size):
    pcm = (TONE * 32767).astype("<i2").tobytes()
    head = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    body = head + b"data" + struct.pack("<I", size) + pcm
    path = tmp_path / "streamed.wav"
    path.write_bytes(b"RIFF" + struct.pack("<I", 0xFFFFFFFF) + body)
    if size == 0:
        # libsndfile takes a size of 0 at its word.
        with pytest.raises(SoundError, match="no samples can be read, its header does not say how"):
            load_waveform(path, RATE)
    else:
        with pytest.warns(FirstshotWarning, match=r"does not say how long .*the 1\.0 s that are"):
            assert len(load_waveform(path, RATE)) == RATE


def test_chunks_before_the_samples_do_not_hide_that_they_are_cut(tmp_path):
    path = write(tmp_path, TONE)
    whole = path.read_bytes()
    odd = b"LIST" + struct.pack("<I", 5) + b"hello\0"
    path.write_bytes(whole[:12] + odd + whole[12:])
    assert len(load_waveform(path, RATE)) == RATE
    path.write_bytes((whole[:12] + odd + whole[12:])[:-100])
    with pytest.raises(SoundError, match="truncated, 15950 of the 16000 samples"):
        load_waveform(path, RATE)


@pytest.mark.parametrize("content", [b"", b"not sound at all" * 100, b"RIFF", b"ID3" + bytes(500)])
def test_a_file_that_is_not_audio_is_refused(tmp_path, content):
    path = tmp_path / "note.wav"
    path.write_bytes(content)
    with pytest.raises(SoundError, match="not readable as audio") as error:
        load_waveform(path, RATE)
    assert str(path) in one_line(error)


def test_a_flac_that_does_not_say_how_long_it_is_is_refused(tmp_path):
    path = write(tmp_path, TONE, container="FLAC")
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    path.write_bytes(content)
    with pytest.raises(SoundError, match=r"does not say how long it is .*rewrite it"):
        load_waveform(path, RATE)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path):
    path = write(tmp_path, TONE)
    path.chmod(0)
    with pytest.raises(SoundError, match=r"clip\.wav"):
        load_waveform(path, RATE)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_sample_that_is_not_finite_is_named_by_its_number(tmp_path, bad):
    samples = TONE.copy()
    samples[321] = bad
    for source in (samples, write(tmp_path, samples, subtype="FLOAT")):
        with pytest.raises(SoundError, match=rf"sample 321 is {bad}; .*finite"):
            load_waveform(source, RATE)


def test_a_value_too_large_for_float32_is_refused_as_infinite():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(SoundError, match="sample 0 is inf"):
            load_waveform(np.full(1600, 1e300), RATE)


def test_a_fault_in_the_other_channel_does_not_matter():
    samples = np.stack([TONE, np.full(RATE, np.nan)], axis=1)
    assert np.array_equal(load_waveform(samples, RATE, channel=0), TONE.astype(np.float32))


def test_digital_silence_is_reported_and_does_not_crash(tmp_path):
    path = write(tmp_path, np.zeros(RATE))
    with pytest.warns(FirstshotWarning, match=r"clip\.wav: digital silence") as caught:
        waveform = load_waveform(path, RATE)
    assert len(waveform) == RATE
    assert not waveform.any()
    assert caught[0].filename == __file__
    with pytest.warns(FirstshotWarning, match="digital silence"):
        load_waveform(np.full(RATE, 128, dtype=np.uint8), RATE)


@pytest.mark.parametrize("rate", [0, -16000, float("nan")])
def test_a_rate_that_is_not_positive_is_refused(rate):
    with pytest.raises(SoundError, match="expected a positive one"):
        load_waveform(TONE, RATE, source_rate=rate)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((2, 3, 4)), "shape"),
        (np.float64(1.0), "shape"),
        (np.zeros(1600, dtype=complex), "type complex128"),
        (np.zeros(1600, dtype=bool), "type bool"),
        (np.array(["a"] * 1600), "type <U1"),
    ],
)
def test_arrays_that_cannot_be_sound_are_refused(array, said):
    with pytest.raises(SoundError, match=said):
        load_waveform(array, RATE, name="take 3")


def test_an_array_goes_by_the_name_it_is_given():
    with pytest.raises(SoundError, match=r"^take 3: has no samples"):
        load_waveform(np.zeros(0), RATE, name="take 3")


# Length policies


def test_native_is_the_clip_itself():
    (part,) = LengthPolicy().apply(TONE, RATE)
    assert part is TONE


@pytest.mark.parametrize(("seconds", "kept"), [(0.5, 8000), (1.0, 16000), (2.5, 16000)])
def test_fixed_crops_the_end_or_appends_zeros(seconds, kept):
    (part,) = LengthPolicy("fixed", seconds).apply(TONE, RATE)
    assert len(part) == round(seconds * RATE)
    assert np.array_equal(part[:kept], TONE[:kept])
    assert not part[kept:].any()


@pytest.mark.parametrize("samples", [1600, 15999, 16000, 16001, 31999, 32000, 47123])
@pytest.mark.parametrize("hop", [None, 0.25, 0.7, 1.0])
def test_windows_cover_every_sample_and_the_last_one_ends_with_the_clip(samples, hop):
    clip = np.arange(samples)
    policy = LengthPolicy("windows", 1.0, hop)
    parts, starts = policy.apply(clip, RATE), policy.starts(samples, RATE)
    assert [part[0] for part in parts] == starts
    assert {len(part) for part in parts} == {min(samples, RATE)}
    assert parts[-1][-1] == samples - 1
    assert set(np.concatenate(parts).tolist()) == set(range(samples)) or (hop or 1) > 1
    steps = np.diff(starts)
    assert (steps[:-1] == round((hop or 1.0) * RATE)).all()
    assert (steps > 0).all()


def test_a_hop_larger_than_the_window_leaves_gaps_on_purpose():
    assert LengthPolicy("windows", 1.0, 2.0).starts(5 * RATE, RATE) == [0, 2 * RATE, 4 * RATE]


def test_an_hour_in_windows_of_ten_seconds_is_360_windows():
    assert len(LengthPolicy.parse("windows:10").starts(3600 * RATE, RATE)) == 360


@pytest.mark.parametrize(
    "text", ["native", "fixed:10", "fixed:0.1", "windows:10", "windows:10:5", "windows:2.5:0.125"]
)
def test_a_policy_written_out_reads_as_itself(text):
    assert str(LengthPolicy.parse(text)) == text


def test_a_policy_keeps_every_digit_when_written_out():
    policy = LengthPolicy("windows", 1234.5678, 0.1234567)
    assert LengthPolicy.parse(str(policy)) == policy


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("window:10", "not known; choose native, fixed or windows"),
        ("fixed", "say how many seconds"),
        ("windows", "say how many seconds"),
        ("fixed:ten", "expected native, fixed:SECONDS"),
        ("windows:10:", "expected native, fixed:SECONDS"),
        ("fixed:10:5", "too many numbers"),
        ("native:10", "too many numbers"),
        ("windows:1:2:3", "too many numbers"),
        ("fixed:0", "between 0.1 and 3600"),
        ("windows:10:0.05", "between 0.1 and 3600"),
        ("fixed:3601", "between 0.1 and 3600"),
        ("", "not known"),
    ],
)
def test_a_policy_that_cannot_be_is_refused(text, said):
    with pytest.raises(ParameterError, match=said):
        LengthPolicy.parse(text)


@pytest.mark.parametrize("lengths", [("native", 5.0), ("fixed", 10.0, 5.0)])
def test_a_policy_with_lengths_it_would_not_use_is_refused(lengths):
    with pytest.raises(ParameterError, match="too many lengths"):
        LengthPolicy(*lengths)


def test_samples_far_beyond_full_scale_are_refused_by_name(tmp_path):
    path = write(tmp_path, np.full(RATE, 1e28), subtype="FLOAT", name="loud")
    with pytest.raises(SoundError, match=r"loud\.wav: holds a sample of size 1e\+28; expected"):
        load_waveform(path, RATE)


def test_a_rate_below_the_encoders_is_reported_and_a_higher_one_is_not(tmp_path):
    with pytest.warns(FirstshotWarning, match=r"low\.wav: recorded at 8000 Hz, below .*16000 Hz"):
        load_waveform(write(tmp_path, TONE[:8000], rate=8000, name="low"), RATE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_waveform(write(tmp_path, TONE, rate=48000, name="high"), RATE)
        load_waveform(write(tmp_path, TONE, rate=16000, name="usual"), 32000)
    with pytest.warns(FirstshotWarning, match=r"low\.wav: recorded at 8000 Hz, below .*32000 Hz"):
        load_waveform(write(tmp_path, TONE[:8000], rate=8000, name="low"), 32000)


def test_an_array_with_its_axes_exchanged_is_refused():
    with pytest.raises(SoundError, match=r"shape \(2, 16000\) has more channels than samples"):
        load_waveform(np.zeros((2, RATE)), RATE)


@pytest.mark.parametrize("text", ["fixed:1_0", "windows:\u0661", "fixed:nan", "windows:2:"])
def test_only_plain_digits_write_a_length(text):
    with pytest.raises(ParameterError, match="expected native, fixed:SECONDS or windows"):
        LengthPolicy.parse(text)
