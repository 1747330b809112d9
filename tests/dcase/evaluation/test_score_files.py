"""Challenge CSV files come back as they were written, and every fault is named by file and row."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstshot.dcase.evaluation.score_files import (
    file_name,
    read_decisions,
    read_scores,
    write_decisions,
    write_scores,
)
from firstshot.errors import DatasetError, OutputError, ParameterError


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_scores_come_back_bit_for_bit(tmp_path_factory, scores):
    folder = tmp_path_factory.mktemp("scores")
    clips = [f"section_00_{i:04d}.wav" for i in range(len(scores))]
    table = read_scores(write_scores(folder, "fan", "00", clips, scores))
    assert table.clips == tuple(clips)
    assert table.values.tobytes() == np.asarray(scores, dtype=np.float64).tobytes()


def test_files_have_no_header_and_the_challenges_names(tmp_path):
    path = write_scores(tmp_path, "3DPrinter", "00", ["a.wav", "b.wav"], [1, np.float32(0.5)])
    assert path == tmp_path / "anomaly_score_3DPrinter_section_00_test.csv"
    assert path.read_bytes() == b"a.wav,1.0\nb.wav,0.5\n"
    path = write_decisions(tmp_path, "3DPrinter", "00", ["a.wav", "b.wav"], [True, 0.0])
    assert path == tmp_path / "decision_result_3DPrinter_section_00_test.csv"
    assert path.read_bytes() == b"a.wav,1\nb.wav,0\n"
    assert read_decisions(path).values.tolist() == [1.0, 0.0]


def test_a_clip_name_with_a_comma_survives(tmp_path):
    path = write_scores(tmp_path, "fan", "00", ['a,"b".wav'], [0.5])
    assert read_scores(path).clips == ('a,"b".wav',)


def test_writing_replaces_an_old_file_whole_and_leaves_nothing_else(tmp_path):
    write_scores(tmp_path, "fan", "00", ["a.wav", "b.wav"], [1.0, 2.0])
    path = write_scores(tmp_path, "fan", "00", ["a.wav"], [3.0])
    assert path.read_text() == "a.wav,3.0\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_and_no_part(tmp_path, monkeypatch):
    path = write_scores(tmp_path, "fan", "00", ["a.wav"], [1.0])

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", no_space)
    with pytest.raises(OutputError, match="No space left on device"):
        write_scores(tmp_path, "fan", "00", ["a.wav"], [2.0])
    assert path.read_text() == "a.wav,1.0\n"
    assert list(tmp_path.iterdir()) == [path]


def test_an_output_folder_is_made_and_a_file_in_its_place_is_named(tmp_path):
    assert write_scores(tmp_path / "absent", "fan", "00", ["a.wav"], [1.0]).is_file()
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match=r"file.*cannot be written"):
        write_scores(tmp_path / "file", "fan", "00", ["a.wav"], [1.0])


def test_what_cannot_be_submitted_is_not_written(tmp_path):
    with pytest.raises(ParameterError, match=r"score nan of clip 'b\.wav'"):
        write_scores(tmp_path, "fan", "00", ["a.wav", "b.wav"], [1.0, math.nan])
    with pytest.raises(ParameterError, match=r"decision 2 of clip 'a\.wav'"):
        write_decisions(tmp_path, "fan", "00", ["a.wav"], [2])
    with pytest.raises(ParameterError, match="2 clips but scores of shape"):
        write_scores(tmp_path, "fan", "00", ["a.wav", "b.wav"], [1.0])
    with pytest.raises(ParameterError, match=r"'a\.wav' comes twice"):
        write_scores(tmp_path, "fan", "00", ["a.wav", "a.wav"], [1.0, 2.0])
    with pytest.raises(ParameterError, match="section '0' must be two digits"):
        write_scores(tmp_path, "fan", "0", ["a.wav"], [1.0])
    with pytest.raises(ParameterError, match="machine 'a/b'"):
        write_scores(tmp_path, "a/b", "00", ["a.wav"], [1.0])
    with pytest.raises(ParameterError, match="kind 'scores'"):
        file_name("scores", "fan", "00")
    assert list(tmp_path.iterdir()) == []


def _file(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "anomaly_score_fan_section_00_test.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("a.wav,1.0\nb.wav,nan\n", "row 2: score 'nan' is not finite"),
        ("a.wav,1.0\nb.wav,-inf\n", "row 2: score '-inf' is not finite"),
        ("a.wav,1e999\n", "row 1: score '1e999' is not finite"),
        ("a.wav,\n", "row 1: score '' is not a number"),
        ("file_name,score\na.wav,1.0\n", "row 1: score 'score' is not a number; .*no header"),
        ("a.wav,1.0\nb.wav,x\n", "row 2: score 'x' is not a number$"),
        ("a.wav,1_0\n", "row 1: score '1_0' is not a number"),
        ("a.wav,1.0\nb.wav,2.0\na.wav,3.0\n", r"row 3: clip 'a\.wav' is there already, in row 1"),
        ("a.wav,1.0,x\n", "row 1: 3 columns; expected 2"),
        ("a.wav\n", "row 1: 1 columns; expected 2"),
        ("a.wav,1.0\n\nb.wav,1.0\n", "row 2: 0 columns; expected 2"),
        (",1.0\n", "row 1: the clip name is empty"),
        ("", "is empty"),
        (b"\xff\xfe\x00a", "not a text file in UTF-8"),
        ('a.wav,"1.0\n', "is not a CSV file"),
    ],
)
def test_every_fault_is_named_by_file_and_row(tmp_path, content, fault):
    with pytest.raises(DatasetError, match=fault) as raised:
        read_scores(_file(tmp_path, content))
    assert "anomaly_score_fan_section_00_test.csv" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["2", "-1", "True", "0.5", "", "nan", "1.0", "01"])
def test_a_decision_is_0_or_1_and_nothing_else(tmp_path, text):
    with pytest.raises(DatasetError, match="row 2: decision"):
        read_decisions(_file(tmp_path, f"a.wav,0\nb.wav,{text}\n"))


def test_lenient_reading_takes_what_the_official_evaluator_takes_and_no_more(tmp_path):
    path = _file(tmp_path, "a.wav,1.0,x\na.wav,0.0\n")
    assert read_decisions(path, lenient=True).values.tolist() == [1.0, 0.0]
    assert read_scores(path, lenient=True).clips == ("a.wav", "a.wav")
    for content in ("a.wav,nan\n", "a.wav,2\n", "a.wav,True\n", "a.wav\n"):
        with pytest.raises(DatasetError, match="row 1"):
            read_decisions(_file(tmp_path, content), lenient=True)


def test_windows_line_ends_are_read(tmp_path):
    assert read_scores(_file(tmp_path, "a.wav,1.5\r\nb.wav,2\r\n")).values.tolist() == [1.5, 2.0]


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"absent\.csv cannot be read: No such file"):
        read_scores(tmp_path / "absent.csv")


@pytest.mark.parametrize(
    "name", ["a\rb.wav", "a\nb.wav", "a\tb.wav", "a\x1b[1m.wav", "caf\udce9.wav", "a\u2028.wav"]
)
def test_a_name_that_score_files_cannot_hold_is_refused(tmp_path, name):
    for write in (write_scores, write_decisions):
        with pytest.raises(ParameterError, match="score files cannot hold; rename it"):
            write(tmp_path, "fan", "00", ["good.wav", name], [1, 0])
    assert list(tmp_path.iterdir()) == []


def test_names_with_commas_quotes_and_formulas_come_back(tmp_path):
    names = ['a,"b".wav', "=1+1.wav", " blank .wav", "größe.wav", "back\\x41.wav", "n" * 250]
    path = write_scores(tmp_path, "fan", "00", names, np.arange(len(names)))
    assert read_scores(path).clips == tuple(names)


@pytest.mark.parametrize("machine", ["my fan", "f\x1ban", "f\udce9n", "a/b", ""])
def test_a_machine_that_no_file_can_be_named_after_is_refused(machine):
    with pytest.raises(ParameterError, match="must be a name without spaces, slashes and control"):
        file_name("anomaly_score", machine, "00")
