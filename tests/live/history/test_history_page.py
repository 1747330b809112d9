import re
from datetime import timedelta

import numpy as np
import pytest
from tests.live.fakes import START

from firstshot.errors import DatasetError
from firstshot.live.history.drift import bank_quantiles, tell_drift, weekly_quantiles
from firstshot.live.history.page import is_history_page, render_history
from firstshot.live.history.read import read_history


@pytest.fixture(scope="module")
def past(state_folder):
    return read_history(state_folder / "history")


def test_windows_and_the_latest_message_of_each_event_are_read(past):
    assert sorted(past.machines) == ["fan", "pump"]
    fan = past.machines["fan"]
    assert fan.times.size == 72 * 12
    assert np.isnan(fan.numbers("score")).sum() == 12
    assert fan.quiet.sum() == 72 * 12 - 12 - 6
    (alarm,) = fan.of_kind("alarm")
    assert alarm.ended - alarm.started == timedelta(minutes=30)
    assert past.first == START


def test_lines_that_cannot_be_read_are_counted_and_days_can_be_chosen(tmp_path):
    line = '{"schema": 1, "type": "state", "machine": "fan"}\n'
    (tmp_path / "2026-03-01.jsonl").write_text('nothing\n[]\n{"schema": 1}\n\n')
    (tmp_path / "2026-03-02.jsonl").write_text(line)
    assert read_history(tmp_path).unreadable == 3
    assert read_history(tmp_path, days=1).unreadable == 0


def test_a_folder_without_a_history_is_one_line(tmp_path):
    with pytest.raises(DatasetError, match=r"holds no history .*`firstshot watch --state`"):
        read_history(tmp_path)


def test_weeks_begin_on_monday_and_hold_normal_windows_only(past):
    first, second, third = weekly_quantiles(past.machines["pump"])
    assert [week.monday.strftime("%a %d") for week in (first, second, third)] == [
        "Mon 23", "Mon 02", "Mon 09",
    ]  # fmt: skip
    assert first.windows == 12 * 12
    assert first.quantiles[0] == pytest.approx(1.03, abs=0.05)
    assert third.quantiles[0] > second.quantiles[0] > first.quantiles[0]


def test_scores_above_those_of_the_learned_clips_are_told(past):
    weeks = weekly_quantiles(past.machines["pump"])
    bank = bank_quantiles(np.linspace(0.0, 1.0, 100))
    assert "half of the normal windows score above 90 % of the learned clips" in tell_drift(
        weeks, bank
    )
    assert "score much like" in tell_drift(weeks, bank_quantiles(np.linspace(0, 9, 100)))
    assert tell_drift(weeks[:1], None) == "There is nothing to compare yet."


def test_the_page_shows_scores_alarms_with_sound_blind_times_and_drift(
    past, state_folder, tmp_path
):
    banks = {"fan": np.linspace(0.5, 2.0, 50)}
    page = render_history(past, "Hall 3", state_folder / "clips", banks)
    assert "<h1>Hall 3</h1>" in page
    assert page.count("<audio") == 1
    assert "data:audio/flac" in page
    assert "Louder from 2 to 4 kHz." in page
    assert "No sound has come for 30 s from mic." in page
    assert "1 h without usable sound, in 1 time" in page
    assert "the learned clips" in page
    assert "Scores of fan over time, 1 alarms, 1 times without usable sound." in page
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)
    (tmp_path / "page.html").write_text(page)
    assert is_history_page(tmp_path / "page.html")


def test_an_alarm_without_a_clip_is_shown_with_a_word(past, tmp_path):
    page = render_history(past, "Hall 3", tmp_path)
    assert "There is no clip of it (any more)." in page
