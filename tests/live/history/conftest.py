"""Three days of a fan and ten days of a pump, with an alarm that has a clip and a blind hour."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from tests.live.fakes import START, SetClock, a_window, an_event, its_end

from firstshot.live.clips.folder import ClipFolder
from firstshot.live.clips.recorder import ClipRecorder, Lengths
from firstshot.live.clips.retention import Limits
from firstshot.live.messages import State
from firstshot.live.outputs.json_lines import History

HOUR = 3600.0


def windows(machine, hours, level=1.0, step=300.0, seed=0):
    chance = np.random.default_rng(seed)
    for second in np.arange(0.0, hours * HOUR, step):
        score = level + 0.2 * float(chance.standard_normal()) + second / HOUR * 0.004
        yield replace(a_window(float(second), machine, State.normal, score), ranked=score - 0.1)


@pytest.fixture(scope="session")
def state_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("state")
    history = History(folder / "history")
    history.open()
    alarm = an_event(50 * HOUR)
    blind = replace(
        an_event(20 * HOUR, kind="blind"), reason="No sound has come for 30 s from mic."
    )
    for machine, hours in (("fan", 72), ("pump", 240)):
        for window in windows(machine, hours, seed=hours):
            second = (window.time - START).total_seconds()
            if machine == "fan" and 20 * HOUR <= second < 21 * HOUR:
                window = replace(
                    window, state=State.blind, score=None, ranked=None, threshold=None,
                    level_dbfs=float("-inf"),
                )  # fmt: skip
            if machine == "fan" and 50 * HOUR <= second < 50.5 * HOUR:
                window = replace(window, state=State.alarm, score=3.4, ranked=3.3, anomalous=True)
            history.show(window)
    for report in (blind, its_end(blind, HOUR), alarm, its_end(alarm, 0.5 * HOUR)):
        history.show(report)
    history.close()
    recorder = ClipRecorder(ClipFolder(folder / "clips", Limits(), SetClock()), Lengths(most=20))
    sound = np.random.default_rng(1).standard_normal((16000 * 12, 1)).astype(np.float32) * 0.1
    sound[16000 * 9] = 0.9
    recorder.push(sound, 16000, alarm.started)
    recorder.event(alarm, {"words": "Louder from 2 to 4 kHz."})
    recorder.push(sound, 16000, alarm.started + timedelta(seconds=12))
    recorder.close()
    return folder
