"""The material to run `firstshot watch` as a service is right as far as it can be checked here."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from firstshot.live.config import read_config

PACKAGING = Path(__file__).parents[1] / "packaging"


def test_the_example_of_a_configuration_can_be_read(monkeypatch, tmp_path):
    for name in ("CAMERA_PASSWORD", "MQTT_PASSWORD", "WEBHOOK_SECRET", "MAIL_PASSWORD"):
        monkeypatch.setenv(name, "a-secret")
    monkeypatch.setenv("WEBHOOK_URL", "https://hooks.example/1")
    settings = read_config(PACKAGING / "watch.toml")
    assert [machine.name for machine in settings.machines] == ["fan", "press"]
    assert [output.kind for output in settings.outputs] == ["mqtt", "webhook", "mail", "metrics"]
    assert settings.clips.limits.most_bytes == 2 * 10**9
    assert "a-secret" not in repr(settings)


def test_the_unit_waits_for_a_sign_of_life_and_starts_again_what_has_ended():
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read(PACKAGING / "firstshot-watch.service")
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) >= 60
    assert service["Restart"] == "always"
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze to check the unit with"
)
def test_systemd_finds_no_fault_in_the_unit(tmp_path):
    text = (PACKAGING / "firstshot-watch.service").read_text()
    unit = tmp_path / "firstshot-watch.service"
    unit.write_text(text.replace("/opt/firstshot/bin/firstshot", "/bin/true"))
    checked = subprocess.run(
        ["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=60, check=False
    )
    assert "firstshot-watch" not in checked.stderr, checked.stderr


def test_the_image_installs_the_extra_and_what_it_needs():
    text = (PACKAGING / "Dockerfile").read_text()
    for word in ("libportaudio2", "ffmpeg", "[live,onnx]", "USER firstshot"):
        assert word in text
    assert re.search(r'ENTRYPOINT \["firstshot"\]', text)
