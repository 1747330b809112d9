from pathlib import Path

import numpy as np
import pytest
import soundfile

from firstshot.dcase.data.training_clips import list_training_clips
from firstshot.errors import DatasetError
from firstshot.training.clips import TrainingClip


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(1600), 16000)
    return path


def test_training_clips_of_the_challenges_layout_have_section_domain_and_attributes(tmp_path):
    one = put(tmp_path / "fan/train/section_01_target_train_normal_0000_speed_2.wav")
    put(tmp_path / "fan/test/section_01_target_test_anomaly_0000.wav")
    two = put(tmp_path / "pump/train/section_00_source_train_normal_0000.wav")
    (tmp_path / "pump/attributes_00.csv").write_text(
        "file_name,d1p,d1v\npump/train/section_00_source_train_normal_0000.wav,load,3\n"
    )
    assert list_training_clips([tmp_path]) == [
        TrainingClip(one, "fan", "01", "target", "speed_2"),
        TrainingClip(two, "pump", "00", "source", "load_3"),
    ]


def test_a_folder_of_sound_for_each_machine_is_enough(tmp_path):
    one = put(tmp_path / "fan/monday/a.wav")
    two = put(tmp_path / "fan/target/b.wav")
    three = put(tmp_path / "pump/a.flac")
    assert list_training_clips([tmp_path]) == [
        TrainingClip(one, "fan", domain="source"),
        TrainingClip(two, "fan", domain="target"),
        TrainingClip(three, "pump", domain="source"),
    ]


def test_machines_of_several_roots_are_taken_together(tmp_path):
    put(tmp_path / "dev/fan/train/section_00_source_train_normal_0000.wav")
    put(tmp_path / "extra/pump/a.wav")
    found = list_training_clips([tmp_path / "dev", tmp_path / "extra"])
    assert [clip.machine for clip in found] == ["fan", "pump"]


def test_two_machines_of_one_name_are_refused(tmp_path):
    put(tmp_path / "one/fan/a.wav")
    put(tmp_path / "two/fan/a.wav")
    with pytest.raises(DatasetError, match=r"two: machine fan section 00 is in .*one as well"):
        list_training_clips([tmp_path / "one", tmp_path / "two"])


def test_a_root_that_is_named_twice_is_refused(tmp_path):
    put(tmp_path / "one/fan/a.wav")
    with pytest.raises(DatasetError, match=r"one: machine fan section 00 is in .*one as well"):
        list_training_clips([tmp_path / "one", tmp_path / "one"])


def test_a_machine_without_training_clips_is_refused(tmp_path):
    put(tmp_path / "fan/test/section_00_source_test_normal_0000.wav")
    with pytest.raises(DatasetError, match=r"fan section 00 has no training clips; put them into"):
        list_training_clips([tmp_path])


def test_a_name_outside_the_grammar_is_refused(tmp_path):
    put(tmp_path / "fan/train/section_00_source_train_normal_0000.wav")
    put(tmp_path / "fan/train/monday.wav")
    with pytest.raises(DatasetError, match=r"monday.wav: a name outside the challenge's grammar"):
        list_training_clips([tmp_path])


def test_a_folder_without_sound_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="no machine in it"):
        list_training_clips([tmp_path])
