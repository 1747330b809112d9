import json
from datetime import UTC, datetime, timedelta, timezone

from firstshot.live.clock import read_utc, utc_text
from firstshot.live.messages import (
    EventReport,
    ShadowReport,
    State,
    StateReport,
    WindowReport,
    event_id,
)

NOON = datetime(2026, 3, 1, 12, 0, 2, 500_000, UTC)


def test_a_window_is_plain_json_with_schema_type_and_time_in_utc():
    shadow = ShadowReport("abc", 2.0, 3.0, 0.5, None, False)
    window = WindowReport("fan", NOON, State.normal, 1.5, 2.0, 0.25, -31.5, 1.25, False, shadow)
    assert json.loads(json.dumps(window.as_json(), allow_nan=False)) == {
        "schema": 1,
        "type": "window",
        "machine": "fan",
        "time": "2026-03-01T12:00:02.500Z",
        "state": "normal",
        "score": 1.5,
        "threshold": 2.0,
        "p_value": 0.25,
        "level_dbfs": -31.5,
        "ranked": 1.25,
        "anomalous": False,
        "shadow": {
            "detector": "abc",
            "score": 2.0,
            "threshold": 3.0,
            "p_value": 0.5,
            "ranked": None,
            "anomalous": False,
        },
    }


def test_the_level_of_digital_silence_is_null_in_json():
    silent = WindowReport("fan", NOON, State.blind, None, None, None, float("-inf"), None, False)
    assert json.loads(json.dumps(silent.as_json(), allow_nan=False))["level_dbfs"] is None


def test_a_change_of_state_tells_both_states_and_the_reason():
    report = StateReport("fan", NOON, State.alarm, State.suspicious, "5 of 8 windows")
    assert report.as_json() == {
        "schema": 1,
        "type": "state",
        "machine": "fan",
        "time": "2026-03-01T12:00:02.500Z",
        "state": "alarm",
        "before": "suspicious",
        "reason": "5 of 8 windows",
    }


def test_an_event_is_about_its_beginning_while_open_and_about_its_end_later():
    opened = EventReport(
        "fan",
        event_id("fan", "alarm", NOON),
        "alarm",
        NOON,
        None,
        3.0,
        2.0,
        0.01,
        "bank",
        "abc",
        "why",
    )
    assert opened.time == NOON
    assert opened.as_json()["ended"] is None
    later = NOON + timedelta(minutes=1)
    closed = EventReport(
        "fan", opened.id, "alarm", NOON, later, 3.0, 2.0, 0.01, "bank", "abc", "why"
    )
    assert closed.time == later
    assert closed.as_json()["ended"] == "2026-03-01T12:01:02.500Z"


def test_the_id_of_an_event_is_its_machine_and_its_beginning_in_utc_wherever_the_server_is():
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5)))
    assert (
        event_id("fan", "alarm", elsewhere)
        == event_id("fan", "alarm", NOON)
        == "fan-alarm-20260301T120002.500Z"
    )


def test_a_time_comes_back_as_it_was_written():
    assert read_utc(utc_text(NOON)) == NOON
