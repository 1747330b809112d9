import pytest

from firstshot import Detector
from firstshot.live import cost as module
from firstshot.live.cost import measure_live
from firstshot.sound.synth import synthesize


@pytest.mark.filterwarnings("ignore::firstshot.errors.FirstshotWarning")
def test_the_share_of_a_core_is_the_processor_time_of_judged_windows(tmp_path, monkeypatch):
    clips = [0.001 * synthesize("SynthFan", seconds=2.0, seed=seed) for seed in range(16)]
    Detector("logmel").fit([(clip, 16000) for clip in clips]).save(tmp_path / "quiet.firstshot")
    told, publish = [], module.Machine

    def spy(name, scorer, take, **more):
        return publish(name, scorer, lambda report: (told.append(report), take(report)), **more)

    monkeypatch.setattr(module, "Machine", spy)
    found = measure_live(str(tmp_path / "quiet.firstshot"), windows=6)
    assert (found.window_seconds, found.hop_seconds, found.windows) == (2.0, 1.0, 6)
    assert found.core_share == pytest.approx(found.window_ms / 1000, rel=0.3)
    assert 0 < found.core_share < 1
    assert all(one.score is not None for one in told if one.type == "window")
