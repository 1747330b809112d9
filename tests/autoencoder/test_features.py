import zlib

import numpy as np
import pytest

from firstshot.autoencoder.features import (
    GEOMETRY,
    MEL,
    SHORTEST_SAMPLES,
    join_frames,
    log_mel,
    stack_frames,
)
from firstshot.errors import DatasetError, SoundError
from firstshot.sound.mel import mel_bank


def ramp(frames):
    """A spectrogram whose every value is different."""
    return np.arange(frames * 128, dtype=np.float32).reshape(frames, 128)


def test_the_golden_clips_are_those_that_the_published_code_heard(golden):
    for name, crc in golden.facts["clip_crc32_int16"].items():
        assert zlib.crc32(golden.samples(name).tobytes()) == crc


def test_the_log_mel_spectrogram_is_that_of_the_published_code(golden):
    frames = golden.frames(golden.facts["golden_clip"])
    np.testing.assert_allclose(frames.T, golden.arrays["logmel"], atol=1e-4)
    stats = golden.facts["logmel_stats"]
    found = [frames.min(), frames.max(), frames.mean()]
    np.testing.assert_allclose(found, [stats["min"], stats["max"], stats["mean"]], atol=1e-4)


def test_the_mel_triangles_are_those_of_the_published_code(golden):
    triangles = mel_bank(MEL).T
    np.testing.assert_allclose(triangles[::16], golden.arrays["mel_filter_sample"], atol=1e-7)
    np.testing.assert_allclose(triangles.sum(axis=1), golden.arrays["mel_filter_rowsum"], rtol=1e-6)


def test_the_vectors_are_those_of_the_published_code(golden):
    vectors = golden.vectors(golden.facts["golden_clip"])
    assert list(vectors.shape) == golden.facts["vector_shape"]
    np.testing.assert_allclose(vectors[:3], golden.arrays["vectors_head"], atol=1e-4)
    np.testing.assert_allclose(vectors[-2:], golden.arrays["vectors_tail"], atol=1e-4)


@pytest.mark.parametrize("samples", [2048, 2559, 32000, 160000, 192000])
def test_a_clip_has_as_many_vectors_as_the_complexity_counts(samples):
    frames = log_mel(np.ones(samples, dtype=np.float32))
    assert len(frames) == 1 + samples // 512
    assert len(stack_frames(frames)) == GEOMETRY.vectors(samples) == len(frames) - 4


def test_a_vector_is_five_frames_one_after_the_other():
    frames = ramp(9)
    expected = [np.concatenate(frames[k : k + 5]) for k in range(5)]
    np.testing.assert_array_equal(stack_frames(frames), expected)
    assert stack_frames(ramp(4)).shape == (0, 640)


def test_stacks_are_not_copied():
    frames = ramp(100)
    assert np.shares_memory(stack_frames(frames), frames)


def test_no_vector_reaches_from_one_clip_into_the_next_when_lengths_differ():
    clips = [ramp(7), ramp(5) + 10_000, ramp(11) + 20_000, ramp(4) + 30_000]
    data = join_frames(clips, [False, True, False, True])
    expected = np.concatenate([stack_frames(clip) for clip in clips])
    np.testing.assert_array_equal(stack_frames(data.frames)[data.starts], expected)
    assert data.is_target.tolist() == [False] * 3 + [True] + [False] * 7
    assert data.clips == 4


def test_a_clip_without_one_stack_of_frames_is_refused():
    assert len(stack_frames(log_mel(np.ones(SHORTEST_SAMPLES, dtype=np.float32)))) == 1
    with pytest.raises(SoundError, match="at least 2048 samples"):
        log_mel(np.ones(SHORTEST_SAMPLES - 1, dtype=np.float32))
    with pytest.raises(SoundError, match="one channel"):
        log_mel(np.ones((4000, 2), dtype=np.float32))


def test_too_few_vectors_to_train_on_are_refused():
    with pytest.raises(DatasetError, match="have 2 vectors"):
        join_frames([ramp(6)], [False])
