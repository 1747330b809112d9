"""The presets against the numbers they were specified with, on real recordings and by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from firstshot import Detector
from firstshot.dcase.data.layout import read_layout
from firstshot.detector.views import PRESETS

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared"
RECORDINGS = SHARED / "data" / "real_machines"
GOLDEN = SHARED / "golden" / "recommended" / "real_machines_weight_free.json"
VIEWS = {"X": "bands", "B": "fine bands", "f": "change", "H": "lines"}
"""The views of the golden numbers, and what they are called here."""


@pytest.mark.skipif(not GOLDEN.exists(), reason="the golden numbers of real machines are not here")
def test_scores_and_leave_one_out_scores_are_the_golden_ones():
    golden = json.loads(GOLDEN.read_text())["machines"]
    for section in read_layout(RECORDINGS):
        expected = golden[section.machine]
        # Leave-one-out scores of the golden file are those of the views' own scales.
        detector = Detector(views="recommended", held_out="single")
        detector.fit(list(section.source), list(section.target))
        results = detector.predict(list(section.test))
        for clip, result in zip(section.test, results, strict=True):
            assert result.score == pytest.approx(expected["score"][clip.path.name], abs=1e-3)
            for short, name in VIEWS.items():
                value = expected["views"][short][clip.path.name]
                assert result.parts[name] == pytest.approx(value, abs=1e-3)
        left_out = [part.normalizer.leave_one_out() for part in detector.parts_]
        means = np.concatenate(
            [np.mean([one[domain] for one in left_out], axis=0) for domain in ("source", "target")]
        )
        for member, value in zip(detector.members(), means, strict=True):
            assert value == pytest.approx(expected["leave_one_out"][member.clip], abs=1e-3)


def test_every_preset_is_a_set_of_views_on_their_own_scale_but_the_old_one():
    for name, views in PRESETS.items():
        assert all(view.standardize for view in views) == (name != "embedded")
