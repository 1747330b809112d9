import io
import json
import os
from contextlib import suppress

from tests.live.fakes import a_window, an_event

from firstshot.live.outputs.json_lines import History, JsonLines


def test_every_message_is_one_line():
    stream = io.StringIO()
    lines = JsonLines(stream)
    lines.open()
    lines.show(a_window())
    lines.show(an_event())
    lines.close()
    written = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert written == [a_window().as_json(), an_event().as_json()]


def test_a_reader_that_has_gone_is_told_once_and_stops_nothing():
    read, write = os.pipe()
    os.close(read)
    gone = []
    stream = os.fdopen(write, "w")
    lines = JsonLines(stream, waits=True, gone=lambda: gone.append(True))
    lines.open()
    for second in range(20_000):
        lines.show(a_window(second))
    lines.close()
    assert gone == [True]
    with suppress(BrokenPipeError):
        stream.close()


def test_a_reader_that_does_not_read_costs_lines_and_no_time(monkeypatch):
    monkeypatch.setattr("firstshot.live.outputs.json_lines.MOST_WAITING", 10)
    lines = JsonLines(io.StringIO())  # not opened: nothing is written
    for second in range(15):
        lines.show(a_window(second))
    assert lines.dropped == 5


def test_the_history_has_one_file_a_day_and_old_days_are_removed(tmp_path):
    history = History(tmp_path / "history", days=2)
    history.open()
    for day in range(5):
        history.show(a_window(day * 86400 + 43199))
    history.close()
    names = sorted(path.name for path in history.folder.iterdir())
    assert names == ["2026-03-03.jsonl", "2026-03-04.jsonl", "2026-03-05.jsonl"]


def test_a_line_that_a_kill_has_cut_does_not_spoil_the_next_one(tmp_path):
    path = tmp_path / "2026-03-01.jsonl"
    path.write_text('{"schema": 1, "ty')
    history = History(tmp_path)
    history.show(a_window())
    history.close()
    assert json.loads(path.read_text().splitlines()[1]) == a_window().as_json()
