"""`firstshot bank` and `firstshot embed` as a person and as a script use them."""

from __future__ import annotations

import json

import numpy as np


def test_a_bank_is_listed_grown_and_shrunk_to_the_same_bytes(firstshot, normal, detector, tmp_path):
    mine = tmp_path / "mine.firstshot"
    mine.write_bytes(detector.read_bytes())
    listed = json.loads(firstshot("bank", "list", mine, "--json").stdout)
    assert listed["schema"] == 1
    clips = listed["clips"]
    assert {clip["domain"] for clip in clips} <= {"source", "target"}
    new = tmp_path / "new.wav"
    new.write_bytes(next(iter(sorted(normal["target"].glob("*.wav")))).read_bytes())
    grown = firstshot("bank", "add", mine, new, "--domain", "source", "-q")
    assert grown.returncode == 0, grown.stderr
    assert "threshold" in grown.stdout
    added = json.loads(firstshot("bank", "list", mine, "--json").stdout)["clips"]
    assert len(added) == len(clips) + 1
    (name,) = [clip["clip"] for clip in added if clip["origin"]]
    done = firstshot("bank", "remove", mine, name)
    assert done.returncode == 0, done.stderr
    assert mine.read_bytes() == detector.read_bytes()


def test_a_name_that_is_not_there_ends_with_2_and_changes_nothing(firstshot, detector, tmp_path):
    mine = tmp_path / "mine.firstshot"
    mine.write_bytes(detector.read_bytes())
    done = firstshot("bank", "remove", mine, "no.wav")
    assert done.returncode == 2
    assert "'no.wav': not in the bank; `firstshot bank list` shows its clips" in done.stderr
    assert mine.read_bytes() == detector.read_bytes()


def test_a_reduced_bank_is_written_beside_and_an_output_is_not_replaced_unasked(
    firstshot, detector, tmp_path
):
    out = tmp_path / "small.firstshot"
    done = firstshot("bank", "reduce", detector, "5", "--domain", "source", "-o", out)
    assert done.returncode == 0, done.stderr
    assert "5 source and" in done.stdout
    again = firstshot("bank", "reduce", detector, "6", "-o", out)
    assert again.returncode == 2
    assert "--overwrite" in again.stderr


def test_embeddings_are_written_for_numpy(firstshot, normal, tmp_path):
    out = tmp_path / "x.npz"
    words = ["embed", normal["source"], "--target", normal["target"], "--layers", "1,2", "-o", out]
    done = firstshot(*words, "-q")
    assert done.returncode == 0, done.stderr
    found = np.load(out, allow_pickle=False)
    count = len(list(normal["source"].glob("*.wav"))) + len(list(normal["target"].glob("*.wav")))
    assert len(found["names"]) == len(found["domains"]) == len(found["starts"]) == count
    assert set(found["domains"].tolist()) == {"source", "target"}
    assert found["layer_1"].shape == (count, 144)
    assert found["layer_2"].shape == (count, 192)
    assert found["encoder"][0] == "logmel"
    assert firstshot(*words).returncode == 2
    assert firstshot(*words, "--overwrite", "-q").returncode == 0
