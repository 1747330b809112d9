"""`firstshot embed` as a person and as a script use it."""

from __future__ import annotations

import numpy as np


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
