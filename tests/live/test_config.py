from pathlib import Path

import pytest

from firstshot import ParameterError
from firstshot.live.config import read_config, single_machine
from firstshot.live.machine import Rules

FAN = '[[machines]]\nname = "fan"\ndetector = "fan.firstshot"\ninput = "mic:UMM-6"\n'
WHOLE = 'state = "state"\n' + FAN


def write(folder: Path, text: str) -> Path:
    path = folder / "watch.toml"
    path.write_text(text)
    return path


def test_machines_are_read_with_paths_beside_the_file(tmp_path):
    text = (
        WHOLE
        + """
every = 2.5
false_alarms_days = 30
commission_hours = 72
blind_after = 60
shadow = "new.firstshot"
[[machines]]
name = "pump-2"
detector = "/opt/pump"
input = "folder:recordings"
"""
    )
    settings = read_config(write(tmp_path, text))
    fan, pump = settings.machines
    assert settings.state == tmp_path / "state"
    assert fan.detector == tmp_path / "fan.firstshot"
    assert fan.shadow == tmp_path / "new.firstshot"
    assert fan.rules == Rules(2.5, 30.0, 72.0)
    assert fan.sound.patience == 60.0
    assert (pump.detector, pump.input) == (Path("/opt/pump"), f"folder:{tmp_path}/recordings")
    assert pump.rules == Rules()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (WHOLE + "treshold = 3\n", r"machines\[0\]\.treshold is not known; known: name, detector"),
        ("stat = 1\n" + WHOLE, "stat is not known; known: state, machines, outputs"),
        (FAN, "state is missing; name the folder"),
        ('state = "s"\nmachines = []\n', r"none; describe one in \[\[machines\]\]"),
        (
            WHOLE.replace('"fan"', '"../fan"'),
            r"machines\[0\]\.name is '\.\./fan', expected 1 to 40",
        ),
        (WHOLE + FAN, "two have the name 'fan'; each needs its own"),
        (
            WHOLE.replace("mic:UMM-6", "usb:1"),
            r"machines\[0\]: input usb:1: expected mic, mic:NAME",
        ),
        (WHOLE + "commission_hours = 2\n", r"machines\[0\]\.commission_hours is 2, expected a num"),
        (WHOLE + "every = 'short'\n", r"machines\[0\]\.every is 'short', expected a finite number"),
        (WHOLE.replace("mic:UMM-6", "rtsp://${NO_SUCH}@cam"), "variable NO_SUCH is not set"),
        (WHOLE + '[[outputs]]\nkind = "pigeon"\n', r"outputs\[0\]\.kind is 'pigeon', expected one"),
        ("state = \n", "watch.toml: "),
    ],
)
def test_what_is_wrong_in_a_file_is_one_line_with_its_place(tmp_path, text, named):
    path = write(tmp_path, text)
    with pytest.raises(ParameterError, match=named) as refused:
        read_config(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_refused_in_one_line(tmp_path):
    with pytest.raises(ParameterError, match=r"none\.toml: cannot be read"):
        read_config(tmp_path / "none.toml")


def test_a_password_of_a_camera_comes_from_the_environment_and_is_not_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("CAMERA", "user:very-secret")
    text = WHOLE.replace("mic:UMM-6", "rtsp://${CAMERA}@10.0.0.7/a")
    (fan,) = read_config(write(tmp_path, text)).machines
    assert fan.input == "rtsp://user:very-secret@10.0.0.7/a"
    assert "very-secret" not in repr(fan)


def test_options_of_the_command_line_are_checked_as_a_file_is():
    options = {"name": "fan", "detector": "fan.firstshot", "input": "stdin"}
    assert single_machine({**options, "fast": True, "every": None}).sound.fast
    with pytest.raises(ParameterError, match=r"every is -1, expected a number from 0\.01 to 3600"):
        single_machine({**options, "every": -1})
    with pytest.raises(ParameterError, match="sample_format is 's24', expected one of s16le"):
        single_machine({**options, "sample_format": "s24"})
