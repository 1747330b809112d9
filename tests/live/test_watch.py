import json
import os
import signal
import threading
import time

import numpy as np
import pytest
import soundfile

from firstshot import Detector, SoundError
from firstshot.errors import FirstshotError
from firstshot.live.config import MachineSettings, WatchSettings
from firstshot.live.machine import Rules
from firstshot.live.messages import EventReport, WindowReport
from firstshot.live.sources import Sound
from firstshot.live.watch import Watch
from firstshot.sound.synth import synthesize

RATE = 16000
pytestmark = pytest.mark.filterwarnings("ignore::firstshot.errors.FirstshotWarning")


def sounds(seeds, **what):
    return [synthesize("SynthFan", seconds=2.0, seed=seed, **what) for seed in seeds]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("watched")
    Detector("logmel").fit([(clip, RATE) for clip in sounds(range(24))]).save(
        folder / "fan.firstshot"
    )
    normal = synthesize("SynthFan", seconds=40.0, seed=3)
    fault = synthesize("SynthFan", fault="rubbing", severity=1.0, seconds=40.0, seed=3)
    soundfile.write(folder / "normal.wav", normal, RATE)
    soundfile.write(folder / "fault.wav", np.concatenate([normal, fault]), RATE)
    return folder


class Seen(list):
    """A feed that keeps what it is shown."""

    def open(self): ...

    def show(self, report):
        self.append(report)

    def close(self): ...


def machine(files, sound, name="fan", **more):
    given = f"file:{files / sound}"
    return MachineSettings(name, files / "fan.firstshot", given, Sound(fast=True), **more)


def test_a_file_with_a_fault_is_one_alarm_and_status_one(files):
    seen = Seen()
    assert Watch(WatchSettings((machine(files, "fault.wav"),)), [seen]).run() == 1
    alarms = [one for one in seen if isinstance(one, EventReport)]
    assert [(one.kind, one.ended) for one in alarms] == [("alarm", None)]
    assert len([one for one in seen if isinstance(one, WindowReport)]) == 79


def test_two_machines_share_a_detector_and_one_process(files, tmp_path):
    seen = Seen()
    both = machine(files, "normal.wav"), machine(files, "fault.wav", "pump")
    watch = Watch(WatchSettings(both, tmp_path / "state"), [seen])
    assert watch.run() == 1
    assert watch.listeners[0].machine.scorer is watch.listeners[1].machine.scorer
    assert {one.machine for one in seen if isinstance(one, EventReport)} == {"pump"}
    assert (tmp_path / "state/machines/fan/state.json").exists()
    assert (tmp_path / "state/machines/pump/state.json").exists()


def test_a_second_process_is_refused_the_same_folder(files, tmp_path):
    from firstshot.disk.locks import hold_folder

    settings = WatchSettings((machine(files, "normal.wav"),), tmp_path)
    with hold_folder(tmp_path), pytest.raises(FirstshotError, match="another firstshot"):
        Watch(settings).run()


def test_channels_that_do_not_fit_are_refused_by_check_and_by_listening(files, tmp_path):
    rng = np.random.default_rng(0)
    clips = [(rng.normal(0, 0.1, (RATE, 2)), RATE) for _ in range(20)]
    Detector(channel="near-far").fit(clips).save(tmp_path / "near.firstshot")
    given = MachineSettings(
        "fan", tmp_path / "near.firstshot", f"file:{files / 'normal.wav'}", Sound(fast=True)
    )
    watch = Watch(WatchSettings((given,)))
    with pytest.raises(SoundError, match=r"normal\.wav: has one channel"):
        watch.check()
    with pytest.raises(SoundError, match="fan: the stream: has one channel"):
        watch.run()


def test_a_source_that_is_not_there_is_refused_before_anything_is_written(files, tmp_path):
    given = MachineSettings("fan", files / "fan.firstshot", "folder:/no/such/folder")
    with pytest.raises(FirstshotError, match="no such folder"):
        Watch(WatchSettings((given,), tmp_path / "state")).run()
    assert not (tmp_path / "state/machines").exists()


def test_a_shadow_is_told_beside_and_reloaded_with_its_machine(files, tmp_path):
    seen = Seen()
    given = machine(files, "fault.wav", shadow=files / "fan.firstshot")
    Watch(WatchSettings((given,)), [seen]).run()
    windows = [one for one in seen if isinstance(one, WindowReport)]
    assert all(one.shadow.score == one.score for one in windows)


def test_hangup_reads_the_detectors_again_and_terminate_ends_with_status_zero(files, tmp_path):
    path = tmp_path / "fan.firstshot"
    Detector("logmel").fit([(clip, RATE) for clip in sounds(range(24))]).save(path)
    folder = tmp_path / "recordings"
    folder.mkdir()
    given = MachineSettings("fan", path, f"folder:{folder}", rules=Rules())
    watch = Watch(WatchSettings((given,)))
    before = watch.listeners
    stages = iter(["replace", "wait", "end"])
    deadline = time.monotonic() + 60

    def tick():
        assert time.monotonic() < deadline
        digest = watch.listeners[0].machine.scorer.digest
        if tick.stage == "replace":
            tick.first = digest
            Detector("logmel").fit([(clip, RATE) for clip in sounds(range(30, 54))]).save(path)
            os.kill(os.getpid(), signal.SIGHUP)
            tick.stage = next(stages)
        elif digest != tick.first:
            os.kill(os.getpid(), signal.SIGTERM)

    tick.stage = next(stages)
    assert watch.run(tick) == 0
    assert before is not watch.listeners
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_watching_in_a_thread_leaves_the_signals_alone(files):
    found = []
    watch = Watch(WatchSettings((machine(files, "normal.wav"),)))
    thread = threading.Thread(target=lambda: found.append(watch.run()))
    thread.start()
    thread.join(60)
    assert found == [0]


def test_the_health_of_each_listener_is_told(files):
    watch = Watch(WatchSettings((machine(files, "normal.wav"),)))
    watch.run()
    (health,) = watch.health()
    assert (health.name, health.lost_samples, health.running) == ("fan", 0, False)


def test_commission_again_counts_a_new_version(files, tmp_path):
    settings = WatchSettings((machine(files, "normal.wav"),), tmp_path)
    Watch(settings).run()
    Watch(settings, again=True).run()
    kept = json.loads((tmp_path / "machines/fan/state.json").read_text())
    assert kept["place"]["version"] == 2
    assert kept["place"]["windows"] == 39
