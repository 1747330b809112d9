"""The bank edited in place: what an edit gives, what it keeps, and what it refuses."""

from __future__ import annotations

import json
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firstshot.detector import Detector, Ensemble
from firstshot.detector.embedding import Clip
from firstshot.detector.fitted.edits import list_bank
from firstshot.errors import DatasetError, FirstshotWarning, NotFittedError, ParameterError
from firstshot.scoring.normalizers import NORMALIZERS
from firstshot.scoring.reduction import reduce_bank

RATE = 16000
KINDS = {
    "plain": {},
    "two layers": {"layers": (1, 2)},
    "two layers joined": {"layers": (1, 2), "combine": "concat"},
    "whitened": {"transform": "whiten"},
    "no transform": {"transform": "none"},
    "mixed": {"memmixup": True, "normalizer": "domain_zscore"},
    "float16": {"bank_precision": "float16"},
    "windows": {"length": "windows:0.1"},
    "gamma": {"threshold": "gamma"},
} | {name: {"normalizer": name} for name in NORMALIZERS}


def clips_of(count, first=0, seconds=0.3):
    noises = (np.random.default_rng(first + i).standard_normal for i in range(count))
    samples = int(seconds * RATE)
    return [Clip(f"c{first + i}", 0.1 * n(samples), RATE) for i, n in enumerate(noises)]


SOURCE, TARGET, NEW = clips_of(12), clips_of(4, 100), clips_of(3, 200, seconds=0.4)


@pytest.fixture(autouse=True)
def few_clips_are_no_news():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FirstshotWarning)
        yield


def fitted(source=SOURCE, target=TARGET, **others):
    return Detector(**{"encoder": "logmel", **others}).fit(source, target)


def saved(detector, folder):
    path = Path(folder) / "saved.firstshot"
    detector.save(path)
    return path.read_bytes()


def manifest_of(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("manifest.json"))


def names(detector, domain):
    return [clip.clip for clip in detector.members() if clip.domain == domain]


@pytest.mark.parametrize("kind", KINDS)
def test_adding_then_removing_gives_the_same_file(tmp_path, kind):
    detector = fitted(**KINDS[kind])
    before = saved(detector, tmp_path)
    detector.add(NEW, domain="target")
    assert saved(detector, tmp_path) != before
    assert saved(detector.remove([clip.name for clip in NEW]), tmp_path) == before


@given(st.data())
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_clips_added_to_any_domain_and_removed_in_any_order_leave_the_same_file(
    tmp_path_factory, data
):
    folder = tmp_path_factory.mktemp("edits")
    kind = data.draw(st.sampled_from(["plain", "two layers joined", "windows", "float16"]))
    detector = fitted(target=TARGET[: data.draw(st.integers(2, 4))], **KINDS[kind])
    before = saved(detector, folder)
    detector = Detector.load(folder / "saved.firstshot")
    added = data.draw(st.lists(st.sampled_from(range(5)), min_size=1, unique=True))
    for number in added:
        domain = data.draw(st.sampled_from(["source", "target"]))
        length = data.draw(st.sampled_from([0.2, 0.55]))
        detector.add(clips_of(1, 300 + number, length), domain=domain)
    for number in data.draw(st.permutations(added)):
        detector.remove(f"c{300 + number}")
    assert saved(detector, folder) == before


@pytest.mark.parametrize("kind", KINDS)
def test_an_edited_detector_scores_like_one_that_was_fitted_on_the_same_clips(kind):
    edited = fitted(SOURCE[:8], **KINDS[kind]).add(SOURCE[8:]).remove(["c2", "c101"])
    kept = [clip for clip in SOURCE if clip.name != "c2"]
    whole = fitted(kept, [clip for clip in TARGET if clip.name != "c101"], **KINDS[kind])
    assert np.array_equal(edited.score(NEW), whole.score(NEW))
    assert np.array_equal(edited.training_scores_, whole.training_scores_)
    assert edited.threshold_ == whole.threshold_
    assert names(edited, "source") == [clip.name for clip in kept]
    assert edited.fitted_.normal_clips.seconds == whole.fitted_.normal_clips.seconds


def test_the_threshold_keeps_its_method_and_rate():
    detector = fitted().calibrate(0.2, "quantile").add(NEW)
    assert (detector.threshold_.method, detector.threshold_.false_alarm_rate) == ("quantile", 0.2)
    assert detector.threshold_.clips == 19
    expected = Detector("logmel", threshold="quantile", false_alarm_rate=0.2).fit(
        [*SOURCE, *NEW], TARGET
    )
    assert detector.threshold_ == expected.threshold_


def test_an_edit_that_leaves_too_few_clips_for_the_rate_changes_nothing():
    detector = fitted(SOURCE, None)
    before = detector.fitted_
    with pytest.raises(ParameterError, match=r"0\.1 cannot be promised from 5 normal clips"):
        detector.remove([clip.name for clip in SOURCE[:7]])
    with pytest.raises(DatasetError, match="1 source clip: at least 2"):
        detector.remove([clip.name for clip in SOURCE[:11]])
    assert detector.fitted_ is before


def test_a_threshold_of_other_clips_gives_way_with_a_warning():
    detector = fitted().calibrate(clips=clips_of(15, 400))
    with pytest.warns(FirstshotWarning, match="was set on 15 other clips and is now set on"):
        detector.add(NEW)
    assert detector.threshold_.clips == 19


def test_members_tell_where_they_came_from_and_when_also_after_loading(tmp_path):
    folder = tmp_path / "new"
    folder.mkdir()
    for clip in NEW:
        soundfile.write(folder / f"{clip.name}.wav", clip.source, RATE)
    detector = fitted().add(folder, domain="target")
    detector.save(tmp_path / "a.firstshot")
    loaded = Detector.load(tmp_path / "a.firstshot")
    assert loaded.members() == detector.members()
    assert [clip.clip for clip in loaded.members()][-3:] == ["c200.wav", "c201.wav", "c202.wav"]
    origins = {clip.clip: clip.origin for clip in loaded.members()}
    assert origins["c0"] is None
    assert origins["c200.wav"].source == str(folder)
    assert len(origins["c200.wav"].added) == len("2026-05-04T12:00:00Z")
    assert origins["c200.wav"].seconds == (0.4, 0.4)
    assert loaded.fitted_.normal_clips.seconds == (0.3, 0.4)
    (addition,) = manifest_of(tmp_path / "a.firstshot")["additions"]
    assert addition["members"] == [16, 3]
    assert np.array_equal(loaded.score(SOURCE[:2]), detector.score(SOURCE[:2]))


def test_a_file_without_additions_has_no_such_field(tmp_path):
    fitted().save(tmp_path / "a.firstshot")
    assert "additions" not in manifest_of(tmp_path / "a.firstshot")


def test_the_windows_of_a_clip_are_one_member_of_the_list_and_go_together():
    detector = fitted(length="windows:0.1")
    assert {clip.windows for clip in detector.members()} == {3}
    detector.remove("c3")
    assert "c3" not in names(detector, "source")
    assert len(detector.fitted_.normal_clips.rows) == 45
    detector.remove("c4@0.1s")
    assert [clip.windows for clip in detector.members() if clip.clip == "c4"] == [2]


def test_a_clip_of_both_domains_is_removed_from_the_one_that_is_named():
    detector = fitted().add([Clip("c0", NEW[0].source, RATE)], domain="target")
    assert "c0" in names(detector.remove(["c0"], domain="target"), "source")
    assert "c0" not in names(detector, "target")


def test_arrays_go_on_where_the_numbers_of_the_bank_end():
    pairs = [(clip.source, RATE) for clip in SOURCE]
    detector = Detector("logmel").fit(pairs).add([(clip.source, RATE) for clip in NEW])
    assert names(detector, "source")[-3:] == ["array 12", "array 13", "array 14"]


@pytest.mark.parametrize("method", ["kmeans", "k_center"])
@pytest.mark.parametrize("layers", [(1,), (1, 2)])
def test_reducing_keeps_the_members_that_the_method_chooses(method, layers):
    detector = fitted(layers=layers, transform="none")
    (first, *others) = [part.bank for part in detector.parts_]
    joined = np.concatenate([first.embeddings, *(bank.embeddings for bank in others)], axis=1)
    expected = reduce_bank(type(first)(joined, first.members), "source", 9, method)
    detector.reduce(9, method=method)
    assert tuple(detector.parts_[0].bank.members) == expected.members
    assert len(names(detector, "target")) == 4
    assert detector.threshold_.clips == 13


def test_reducing_one_domain_leaves_the_other():
    detector = fitted().reduce(2, domain="target")
    assert (len(names(detector, "source")), len(names(detector, "target"))) == (12, 2)
    before = detector.score(NEW)
    assert np.array_equal(detector.reduce(500).score(NEW), before)


def test_merging_gives_the_detector_of_all_clips():
    one, other = fitted(SOURCE[:8], TARGET[:2]), fitted([*SOURCE[8:], *NEW, *clips_of(4, 500)])
    other.remove(["c100", "c101"])
    merged = one.merge(other, source="line 2")
    whole = fitted([*SOURCE, *NEW, *clips_of(4, 500)], TARGET)
    assert np.array_equal(merged.score(clips_of(3, 600)), whole.score(clips_of(3, 600)))
    assert merged.threshold_ == whole.threshold_
    assert {clip.origin and clip.origin.source for clip in merged.members()} == {None, "line 2"}


@pytest.mark.parametrize(
    ("others", "reason"),
    [
        ({"encoder_settings": {"keep_level": True}}, "the encoder's weights or settings differs"),
        ({"layers": (2,)}, r"layers differs: \(1,\) in the first detector and \(2,\) in"),
        ({"length": "fixed:1"}, "length differs: 'native' in the first detector and 'fixed:1' in"),
        ({"pooling": "all"}, "pooling differs"),
        ({"normalizer": "none"}, "normalizer differs"),
        ({"transform": "whiten"}, "transform differs"),
        ({"bank_precision": "float16"}, "bank_precision differs"),
    ],
)
def test_merging_with_other_settings_is_refused_with_the_one_that_differs(others, reason):
    detector = fitted(layers=(1,))
    with pytest.raises(ParameterError, match=reason):
        detector.merge(fitted(clips_of(12, 700), None, **{"layers": (1,), **others}))


def test_merging_an_ensemble_or_a_clip_twice_is_refused():
    with pytest.raises(ParameterError, match="a Ensemble cannot be merged"):
        fitted().merge(Ensemble([fitted()]))
    with pytest.raises(ParameterError, match="'c0', 'c1', 'c2', 'c3', 'c4' and 7 more: already in"):
        fitted().merge(fitted())


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda d: d.remove("c" * 80), f"'{'c' * 80}': not in the bank"),
        (lambda d: d.add(SOURCE[:1]), "'c0': already in the source bank; remove it first"),
        (lambda d: d.add(NEW, domain="train"), "domain 'train': choose source or target"),
        (lambda d: d.remove(["c0", "x", "y"]), "'x', 'y': not in the bank; `firstshot bank list`"),
        (lambda d: d.remove("c0", domain="target"), "'c0': not in the target bank"),
        (lambda d: d.reduce(0), "size 0: give how many members to keep"),
        (lambda d: d.reduce(2.5), r"size 2\.5: give how many"),
        (lambda d: d.reduce(5, method="random"), "method 'random': choose one of kmeans, k_center"),
        (lambda d: d.reduce(5, domain="all"), "domain 'all': choose source or target"),
    ],
)
def test_an_edit_that_cannot_be_is_refused_and_changes_nothing(edit, reason):
    detector = fitted()
    before = detector.fitted_
    with pytest.raises(ParameterError, match=reason):
        edit(detector)
    assert detector.fitted_ is before


def test_edits_need_a_fitted_detector():
    for edit in (
        lambda d: d.add(NEW),
        lambda d: d.remove("x"),
        lambda d: d.reduce(3),
        lambda d: d.members(),
        lambda d: d.merge(fitted()),
    ):
        with pytest.raises(NotFittedError, match=r"call fit\(\.\.\.\) first"):
            edit(Detector("logmel"))


def test_a_file_of_schema_1_can_be_edited(tmp_path):
    old = Detector.load(Path(__file__).parent.parent / "files" / "schema_1.firstshot")
    saved(old, tmp_path)
    again = Detector.load(tmp_path / "saved.firstshot")
    again.add([(clip.source, RATE) for clip in NEW])
    assert len(again.members()) == len(list_bank(old.fitted_)) + 3
    again.remove([clip.clip for clip in again.members() if clip.origin])
    assert np.array_equal(again.score(NEW), old.score(NEW))


@pytest.mark.parametrize(
    "additions",
    [
        "x",
        [{"source": "a", "added": "now", "heard_seconds": None, "members": [15, 2]}],
        [{"source": "a", "added": "now", "heard_seconds": None, "members": [1]}],
        [{"source": "a\nb", "added": "now", "heard_seconds": None, "members": [0, 1]}],
        [{"source": "a", "added": "now", "members": [0, 1], "more": 1}],
    ],
)
def test_additions_that_cannot_be_are_refused(tmp_path, additions):
    from firstshot.detector.file import read_detector_file, write_detector_file
    from firstshot.errors import DetectorFileError

    path = tmp_path / "a.firstshot"
    fitted().save(path)
    manifest, arrays, rows = read_detector_file(path)
    write_detector_file(path, {**manifest, "additions": additions}, arrays, rows)
    with pytest.raises(DetectorFileError, match="not a detector that this firstshot can make"):
        Detector.load(path)
