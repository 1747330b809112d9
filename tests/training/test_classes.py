import numpy as np
import pytest

from firstshot.errors import ParameterError
from firstshot.training.classes import classify_clips, cluster_clips
from firstshot.training.clips import LoadedClips, TrainingClip


def loaded(*clips):
    waveforms = [np.full(4, float(number), np.float32) for number in range(len(clips))]
    return LoadedClips(tuple(clips), tuple(waveforms), ("",) * len(clips))


def clip(machine="fan", domain="source", attributes="", section="00"):
    return TrainingClip("x.wav", machine, section, domain, attributes)


def test_a_class_is_machine_section_domain_and_attributes():
    found = classify_clips(
        loaded(
            clip(attributes="speed_2"),
            clip(domain="target", attributes="speed_1"),
            clip("pump", section="01"),
            clip(attributes="speed_2"),
        ),
        None,
    )
    assert found.names == ("fan/00/source/speed_2", "fan/00/target/speed_1", "pump/01/source")
    assert found.numbers.tolist() == [0, 1, 2, 0]
    assert found.sizes == {
        "fan/00/source/speed_2": 2,
        "fan/00/target/speed_1": 1,
        "pump/01/source": 1,
    }


def test_clips_of_one_class_are_refused():
    with pytest.raises(ParameterError, match=r"2 clips of one class \(fan/00/source\)"):
        classify_clips(loaded(clip(), clip()), None)


def test_the_challenges_word_for_no_attributes_is_none():
    found = classify_clips(loaded(clip(attributes="noAttribute"), clip("pump")), None)
    assert found.names == ("fan/00/source", "pump/00/source")


def two_sounds(waveform):
    """Clips 0 to 7 sound like each other, and so do the later ones."""
    return np.array([0.0 if waveform[0] < 8 else 9.0, waveform[0] / 100])


def test_clusters_of_source_clips_stand_for_hidden_attributes_and_target_stays_one_class():
    clips = [clip() for _ in range(16)] + [clip(domain="target") for _ in range(10)]
    found = classify_clips(loaded(*clips), two_sounds)
    assert found.names == ("fan/00/source/cluster_0", "fan/00/source/cluster_1", "fan/00/target")
    assert found.numbers.tolist() == [0] * 8 + [1] * 8 + [2] * 10


def test_a_section_of_target_clips_alone_gets_no_clusters():
    clips = [clip(domain="target") for _ in range(16)] + [clip("pump")]
    assert classify_clips(loaded(*clips), two_sounds).names == ("fan/00/target", "pump/00/source")


def test_a_section_that_gives_attributes_gets_no_clusters():
    clips = [clip(attributes="speed_1") for _ in range(16)] + [clip("pump")]
    found = classify_clips(loaded(*clips), two_sounds)
    assert found.names == ("fan/00/source/speed_1", "pump/00/source")


def test_a_small_cluster_is_joined_to_its_nearest():
    # Two far outliers of 26 clips would be a cluster of their own, of two clips.
    near = np.arange(12)[:, None] / 100
    rows = np.concatenate([near, near + 5, [[7.0], [7.1]]])
    assert np.bincount(cluster_clips(rows)).min() >= 4
    assert cluster_clips(rows)[-2:].tolist() == [cluster_clips(rows)[20]] * 2


def test_few_or_equal_clips_are_one_cluster():
    assert cluster_clips(np.random.default_rng(0).normal(size=(15, 3))).tolist() == [0] * 15
    assert cluster_clips(np.ones((40, 3))).tolist() == [0] * 40
