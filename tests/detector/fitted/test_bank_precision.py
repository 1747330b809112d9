"""Banks that are kept in float16: half as large, and the same detector but for the rounding."""

from __future__ import annotations

import numpy as np
import pytest

from firstshot import Detector
from firstshot.detector.file import mapped
from firstshot.errors import ParameterError
from firstshot.scoring.transform import TRANSFORMS

RATE = 16000


def recordings(seed, count):
    draws = np.random.default_rng(seed)
    tones = np.sin(np.arange(RATE) * np.array([[0.2], [0.35]]))
    return [
        (
            (0.1 * draws.standard_normal(RATE) + draws.uniform(0.02, 0.05, 2) @ tones).astype("f4"),
            RATE,
        )
        for _ in range(count)
    ]


def fitted(**settings):
    return Detector(**settings).fit(recordings(1, 24), recordings(2, 10))


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("normalizer", ["none", "domain_zscore", "domain_local_density"])
def test_a_float16_bank_scores_as_the_float32_one_but_for_its_rounding(transform, normalizer):
    exact = fitted(transform=transform, normalizer=normalizer)
    rounded = fitted(transform=transform, normalizer=normalizer, bank_precision="float16")
    clips = recordings(3, 6)
    np.testing.assert_allclose(rounded.score(clips), exact.score(clips), rtol=0.02, atol=0.02)
    assert (rounded.score(clips) != exact.score(clips)).any()
    assert rounded.threshold_.value == pytest.approx(exact.threshold_.value, rel=0.05)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_members_are_kept_and_searched_in_float16(transform):
    (part,) = fitted(transform=transform, layers=(1,), bank_precision="float16").parts_
    assert part.bank.embeddings.dtype == np.float16
    assert part.transformed.embeddings.dtype == np.float16
    assert part.index.points.rows.dtype == np.float16
    assert part.index.centred is None


def test_a_float16_detector_comes_back_from_its_file_bit_for_bit_and_maps_its_bank(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(mapped, "MAPPED_FROM", 0)
    detector, clips = fitted(transform="none", bank_precision="float16"), recordings(3, 4)
    detector.save(tmp_path / "half.firstshot")
    loaded = Detector.load(tmp_path / "half.firstshot")
    assert loaded.score(clips).tobytes() == detector.score(clips).tobytes()
    assert loaded.bank_precision == "float16"
    bank = loaded.parts_[0].normalizer.banks_["source"].index.points.rows
    assert bank.dtype == np.float16
    assert not bank.flags.owndata  # a view of the file


def test_a_float16_file_is_smaller_by_half_the_bank(tmp_path):
    sizes = {}
    for precision in ("float32", "float16"):
        detector = fitted(bank_precision=precision)
        detector.save(tmp_path / precision)
        sizes[precision] = (tmp_path / precision).stat().st_size
        values = sum(part.bank.embeddings.size for part in detector.parts_)
    assert sizes["float32"] - sizes["float16"] == pytest.approx(2 * values, rel=0.02)


def test_other_precisions_and_values_beyond_float16_are_refused():
    with pytest.raises(ParameterError, match=r"'float8'.*float32.*float16"):
        fitted(bank_precision="float8")
    recipe = fitted(bank_precision="float16").fitted_.recipe
    with pytest.raises(ParameterError, match=r"7e\+04.*float16 ends at 65504.*float32"):
        recipe.keep(np.array([[7e4]], dtype=np.float32))
