"""One contract for the report's normalisers, against the formulas by brute force in float64."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from firstshot.errors import DatasetError, FirstshotWarning, NotFittedError, ParameterError
from firstshot.scoring import make_normalizer
from firstshot.scoring.normalizers import Normalizer, default_parameters
from firstshot.scoring.search.vectors import METRICS

DENSE = ("local_density", "domain_local_density")
SMALL = {
    "none": {"k": 2},
    "test_zscore": {"k": 2},
    "domain_zscore": {"k": 2},
    "local_density": {"k": 4},
    "domain_local_density": {"k_source": 4, "k_target": 3},
}
NORMALIZERS = tuple(SMALL)
"""Those of the report; the others have files of their own."""


def table(Q, X, metric):
    """All distances, term by term in float64 (extended precision for the unit vectors)."""
    Q, X = np.asarray(Q, dtype=np.longdouble), np.asarray(X, dtype=np.longdouble)
    if metric == "cosine":
        Q = Q / np.sqrt((Q * Q).sum(axis=1, keepdims=True))
        X = X / np.sqrt((X * X).sum(axis=1, keepdims=True))
    d = np.array([[((q - x) ** 2).sum() for x in X] for q in Q], dtype=np.longdouble)
    d = d.reshape(len(Q), len(X))
    return {"sqeuclidean": d, "euclidean": np.sqrt(d), "cosine": d / 2}[metric].astype(float)


def own(X, metric):
    d = table(X, X, metric)
    return d[~np.eye(len(X), dtype=bool)].reshape(len(X), -1)


def mean_of_smallest(d, k):
    return np.sort(d, axis=1)[:, :k].mean(axis=1)


def oracle(name, metric, parameters, banks, Q):
    """The formulas of the five normalisers, domain by domain; banks without copies."""
    p = {**default_parameters(name), **parameters}
    banks = {domain: X for domain, X in banks.items() if len(X)}
    to = {domain: table(Q, X, metric) for domain, X in banks.items()}
    if name in ("none", "test_zscore", "domain_zscore"):
        d = {domain: mean_of_smallest(to[domain], p["k"]) for domain in banks}
        if name == "none":
            return d
        if name == "test_zscore":
            return {domain: (v - v.mean()) / v.std() for domain, v in d.items()}
        inside = {x: mean_of_smallest(own(X, metric), p["k"]) for x, X in banks.items()}
        shared = inside["target"] if "target" in inside else inside["source"]
        return {
            x: (v - inside[x].mean()) / (inside[x] if p["own_std"] else shared).std()
            for x, v in d.items()
        }
    if name == "domain_local_density":
        k = {"source": p["k_source"], "target": p["k_target"]}
        density = {
            x: np.sort(own(X, metric), axis=1)[:, : k[x]].sum(axis=1) for x, X in banks.items()
        }
    else:
        joint = np.sort(own(np.concatenate(list(banks.values())), metric), axis=1)
        sums = joint[:, : p["k"]].sum(axis=1)
        density = {x: sums[: len(X)] for x, X in banks.items()}
        if "source" in banks and "target" in banks:
            density["target"] = sums[len(banks["source"]) :]
    return {x: (to[x] / density[x]).min(axis=1) for x in banks}


def clips(seed, n_source=30, n_target=9, q=12, dim=10, spread=1.0, offset=3.0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    centre = offset + rng.standard_normal(dim)
    size = spread * np.linalg.norm(centre) / np.sqrt(2 * dim)
    draw = lambda n, at: (centre + at + size * rng.standard_normal((n, dim))).astype(dtype)  # noqa: E731
    shift = size * rng.standard_normal(dim)
    return {"source": draw(n_source, 0), "target": draw(n_target, shift)}, draw(q, shift / 2)


def quiet(function, *arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FirstshotWarning)
        return function(*arguments)


def fitted(name, banks, metric="sqeuclidean", **parameters):
    return quiet(make_normalizer(name, metric, **parameters).fit, banks)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", NORMALIZERS)
@pytest.mark.parametrize("parameters", ["default", "small"])
def test_scores_equal_the_formulas(name, metric, parameters):
    settings = SMALL[name] if parameters == "small" else {}
    banks, Q = clips(1)
    normalizer = fitted(name, banks, metric, **settings)
    found, expected = (
        quiet(normalizer.domain_scores, Q),
        oracle(name, metric, settings, banks, Q),
    )
    assert list(found) == list(expected)
    for domain, values in found.items():
        np.testing.assert_allclose(values, expected[domain], rtol=1e-9)
    score = quiet(normalizer.score, Q)
    assert score.dtype == np.float64
    np.testing.assert_array_equal(score, np.minimum(found["source"], found["target"]))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", NORMALIZERS)
@pytest.mark.parametrize(("spread", "dtype"), [(1e-4, np.float32), (1e-4, float), (1e-6, float)])
def test_scores_stay_exact_where_clips_nearly_repeat_far_from_zero(name, metric, spread, dtype):
    banks, Q = clips(2, spread=spread, offset=1000.0, dtype=dtype)
    banks["source"][0] *= 50  # one outlier, so that centring alone does not help
    expected = oracle(name, metric, SMALL[name], banks, Q)
    found = quiet(fitted(name, banks, metric, **SMALL[name]).domain_scores, Q)
    for domain, values in found.items():
        # A z score near 0 is a difference: its size, not its last digits, sets the scale.
        size = np.abs(expected[domain]).max() if "zscore" in name else 0.0
        np.testing.assert_allclose(values, expected[domain], rtol=1e-6, atol=1e-6 * size)


@pytest.mark.parametrize("empty", ["source", "target"])
@pytest.mark.parametrize("how", ["no rows", "None", "no key"])
@pytest.mark.parametrize("name", NORMALIZERS)
def test_an_empty_domain_has_no_term(name, how, empty):
    banks, Q = clips(3)
    full = {domain: X for domain, X in banks.items() if domain != empty}
    given = {"no rows": {**full, empty: np.empty((0, 10))}, "None": {**full, empty: None}}
    normalizer = fitted(name, given.get(how, full), **SMALL[name])
    (domain, expected), *none = oracle(name, "sqeuclidean", SMALL[name], full, Q).items()
    assert not none
    np.testing.assert_allclose(quiet(normalizer.score, Q), expected, rtol=1e-9)
    left_out = normalizer.leave_one_out()
    assert len(left_out[empty]) == 0
    assert len(left_out[domain]) == len(full[domain])


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("n_source", "n_target"), [(24, 9), (12, 4), (5, 3), (4, 0), (0, 6)])
@pytest.mark.parametrize("name", [n for n in NORMALIZERS if n != "test_zscore"])
def test_leave_one_out_equals_a_refit_without_the_clip(name, n_source, n_target, metric):
    banks, _ = clips(4, n_source, n_target)
    for settings in (SMALL[name], default_parameters(name)):
        found = quiet(fitted(name, banks, metric, **settings).leave_one_out)
        for domain, X in banks.items():
            for clip in range(len(X)):
                kept = {**banks, domain: np.delete(X, clip, axis=0)}
                refit = fitted(name, kept, metric, **settings)
                expected = quiet(refit.score, X[clip : clip + 1])[0]
                assert found[domain][clip] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", DENSE)
def test_leave_one_out_of_a_bank_with_copies_equals_a_refit(name):
    banks, _ = clips(5, 12, 6)
    banks["source"][3] = banks["source"][7]
    banks["target"][1] = banks["source"][2]
    found = fitted(name, banks, **SMALL[name]).leave_one_out()
    for domain, X in banks.items():
        for clip in range(len(X)):
            refit = fitted(name, {**banks, domain: np.delete(X, clip, axis=0)}, **SMALL[name])
            assert found[domain][clip] == pytest.approx(refit.score(X[[clip]])[0], rel=1e-12)
    assert found["source"][[2, 3, 7]].tolist() == [0, 0, 0]


def test_leave_one_out_of_domain_zscore_with_own_deviations_equals_a_refit():
    banks, _ = clips(6, 10, 5)
    found = fitted("domain_zscore", banks, own_std=True).leave_one_out()
    for domain, X in banks.items():
        for clip in range(len(X)):
            kept = {**banks, domain: np.delete(X, clip, axis=0)}
            refit = fitted("domain_zscore", kept, own_std=True)
            assert found[domain][clip] == pytest.approx(refit.score(X[[clip]])[0], rel=1e-12)


def test_leave_one_out_of_test_zscore_uses_the_left_out_distances():
    banks, _ = clips(7, 8, 4)
    found = fitted("test_zscore", banks).leave_one_out()
    nearest = {
        domain: np.concatenate(
            [
                (
                    own(X, "sqeuclidean") if x == domain else table(X, banks[domain], "sqeuclidean")
                ).min(axis=1)
                for x, X in banks.items()
            ]
        )
        for domain in banks
    }
    z = np.min([(d - d.mean()) / d.std() for d in nearest.values()], axis=0)
    np.testing.assert_allclose(np.concatenate(list(found.values())), z, rtol=1e-9)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", [n for n in NORMALIZERS if n != "test_zscore"])
def test_a_clip_scores_the_same_bits_in_any_company(name, metric):
    banks, Q = clips(8, n_source=200, q=40, dim=37, spread=1e-3, dtype=np.float32)
    normalizer = fitted(name, banks, metric)
    whole = normalizer.score(Q)
    for rows in (slice(0, 1), slice(5, 12), slice(39, 40), slice(None, None, -1)):
        assert normalizer.score(Q[rows]).tobytes() == whole[rows].tobytes()
    assert fitted(name, banks, metric).score(Q).tobytes() == whole.tobytes()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", [n for n in NORMALIZERS if "zscore" not in n])
def test_a_query_equal_to_a_member_scores_zero(name, metric):
    banks, _ = clips(9, dtype=np.float32)
    normalizer = fitted(name, banks, metric)
    assert (normalizer.score(np.concatenate(list(banks.values()))) == 0).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", DENSE)
def test_a_bank_that_holds_clips_twice_scores_as_the_bank_that_holds_them_once(name, metric):
    banks, Q = clips(10)
    twice = {
        domain: np.concatenate([X, X[:4], X[:1], X[:1], X[:1], X[:1], X[:1]])
        for domain, X in banks.items()
    }
    if metric == "cosine":
        twice["source"][-1] *= 3.0  # the same direction is the same clip
    expected = fitted(name, banks, metric, **SMALL[name]).score(Q)
    np.testing.assert_allclose(
        fitted(name, twice, metric, **SMALL[name]).score(Q), expected, rtol=1e-12
    )


def test_local_density_ignores_the_clip_itself():
    # density of 0: (1 - 0)^2 = 1; of 1: 1; of 3: 4. Query 5: 25/1, 16/1, 4/4.
    normalizer = fitted("local_density", {"source": [[0.0], [1.0]], "target": [[3.0]]}, k=1)
    assert normalizer.domain_scores([[5.0]]) == {"source": [16.0], "target": [1.0]}


def test_the_smallest_ratio_is_not_that_of_the_nearest_member():
    banks = {"source": [[0.0], [0.1], [10.0], [20.0]]}
    # nearest to 2 is 0.1 (3.61 / 0.01 = 361); the smallest ratio is at 10: 64 / 98.01.
    score = fitted("domain_local_density", banks, k_source=1).score([[2.0]])
    assert score[0] == pytest.approx(64 / 98.01)


@pytest.mark.parametrize("name", NORMALIZERS)
def test_too_few_members_are_all_used_and_said_once(name):
    banks, Q = clips(11, n_source=6, n_target=4)
    many = {key: 50 for key in default_parameters(name) if key != "own_std"}
    with pytest.warns(FirstshotWarning, match="are needed") as caught:
        normalizer = make_normalizer(name, **many).fit(banks)
    assert len(caught) == 1
    expected = oracle(name, "sqeuclidean", many, banks, Q)
    found = quiet(normalizer.score, Q)
    np.testing.assert_allclose(found, np.min(list(expected.values()), axis=0), rtol=1e-9)


@pytest.mark.parametrize("name", DENSE)
def test_a_density_needs_two_different_clips(name):
    for bank in (np.ones((1, 3)), np.ones((5, 3))):
        with pytest.raises(DatasetError, match="needs at least 2 different clips"):
            make_normalizer(name).fit({"source": bank})
    with pytest.raises(DatasetError, match="copies of one"):
        make_normalizer(name).fit({"source": np.ones((5, 3)), "target": np.empty((0, 3))})
    with pytest.raises(DatasetError, match="at least 3 different clips"):
        fitted(name, {"source": [[0.0], [1.0]]}).leave_one_out()


def test_a_target_of_one_clip_joins_the_joint_bank_but_has_no_density_of_its_own():
    banks, Q = clips(12, n_target=1)
    expected = oracle("local_density", "sqeuclidean", {}, banks, Q)
    np.testing.assert_allclose(
        fitted("local_density", banks).score(Q), np.min(list(expected.values()), axis=0), rtol=1e-9
    )
    with pytest.raises(DatasetError, match="2 different clips in target"):
        fitted("domain_local_density", banks)


def test_left_out_of_a_target_of_two_a_clip_is_scored_by_the_source_and_this_is_said():
    banks, _ = clips(13, n_target=2)
    normalizer = fitted("domain_local_density", banks)
    with pytest.warns(FirstshotWarning, match="the other domain alone"):
        found = normalizer.leave_one_out()["target"]
    alone = fitted("domain_local_density", {"source": banks["source"]})
    np.testing.assert_array_equal(found, alone.score(banks["target"]))


@pytest.mark.parametrize("n_target", [1, 2])
def test_domain_zscore_of_a_tiny_target_borrows_from_the_source_and_says_so(n_target):
    banks, Q = clips(14, n_target=n_target)
    with pytest.warns(FirstshotWarning, match="that of the source is used"):
        normalizer = make_normalizer("domain_zscore").fit(banks)
    inside = own(banks["source"], "sqeuclidean").min(axis=1)
    mean = inside.mean() if n_target == 1 else own(banks["target"], "sqeuclidean").min()
    expected = (table(Q, banks["target"], "sqeuclidean").min(axis=1) - mean) / inside.std()
    np.testing.assert_allclose(normalizer.domain_scores(Q)["target"], expected, rtol=1e-9)


def test_a_zero_deviation_is_refused():
    square = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    with pytest.raises(DatasetError, match="deviation of the target clips' distances"):
        make_normalizer("domain_zscore").fit({"source": np.eye(4)[:, :2], "target": square})
    with pytest.raises(DatasetError, match="needs 3 clips in source or in target"):
        make_normalizer("domain_zscore").fit({"source": [[0.0], [1.0]]})
    with pytest.raises(DatasetError, match="test clips' distances to the source"):
        quiet(fitted("test_zscore", {"source": [[0.0]]}).score, [[1.0], [-1.0]])


def test_test_zscore_says_every_time_that_it_breaks_the_rules_and_refuses_one_clip():
    banks, Q = clips(15)
    normalizer = make_normalizer("test_zscore").fit(banks)
    for _ in range(2):
        with pytest.warns(FirstshotWarning, match="breaks the challenge's rules") as caught:
            normalizer.score(Q)
        assert len(caught) == 1
    with pytest.raises(ParameterError, match="at least 2 clips under test, got 1"):
        quiet(normalizer.score, Q[:1])


@pytest.mark.parametrize("name", NORMALIZERS)
def test_names_parameters_and_promises(name):
    normalizer = make_normalizer(name, "cosine", **SMALL[name])
    assert isinstance(normalizer, Normalizer)
    for parameter, value in {**default_parameters(name), **SMALL[name]}.items():
        assert getattr(normalizer, parameter) == value
    with pytest.raises(NotFittedError, match="call fit first"):
        normalizer.score([[1.0]])
    banks, _ = clips(16)
    assert normalizer.fit(banks) is normalizer


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("zscore", {}, "none, test_zscore, domain_zscore, local_density, domain_local_density"),
        ("none", {"metric": "l1"}, "sqeuclidean, euclidean, cosine"),
        ("none", {"K": 3}, "no parameter 'K'; it takes k"),
        ("domain_local_density", {"k": 3}, "k_source, k_target"),
        ("local_density", {"k": 0}, "k=0"),
        ("local_density", {"k": 2.5}, "k=2.5"),
        ("none", {"k": True}, "k=True"),
        ("domain_zscore", {"own_std": "yes"}, "True or False"),
    ],
)
def test_unknown_settings_list_the_choices(name, settings, words):
    with pytest.raises(ParameterError, match=words):
        make_normalizer(name, **settings)


@pytest.mark.parametrize("name", NORMALIZERS)
def test_bad_banks_and_queries_are_named(name):
    banks, Q = clips(17)
    normalizer = make_normalizer(name, "cosine")
    with pytest.raises(ParameterError, match="domain 'fan'"):
        normalizer.fit({"fan": Q})
    with pytest.raises(DatasetError, match="both banks are empty"):
        normalizer.fit({"source": np.empty((0, 3))})
    with pytest.raises(ParameterError, match="source has 10 values per clip and target 9"):
        normalizer.fit({"source": banks["source"], "target": banks["target"][:, :9]})
    bad = banks["target"].copy()
    bad[4, 2] = np.nan
    names = {"target": [f"{i}.wav" for i in range(9)]}
    with pytest.raises(DatasetError, match=r"target clip '4\.wav' \(row 4\) holds NaN"):
        normalizer.fit({**banks, "target": bad}, names)
    bad[4] = 0
    with pytest.raises(DatasetError, match=r"target clip '4\.wav' \(row 4\) is all zero"):
        normalizer.fit({**banks, "target": bad}, names)
    quiet(normalizer.fit, banks)
    with pytest.raises(DatasetError, match="query row 4 is all zero"):
        quiet(normalizer.score, bad)
    with pytest.raises(ParameterError, match="queries have 3 values"):
        quiet(normalizer.score, np.ones((2, 3)))


def test_a_bank_changed_after_the_fit_changes_no_score():
    banks, Q = clips(18)
    normalizer = fitted("none", banks)
    before = normalizer.score(Q)
    banks["source"][:] = 0
    np.testing.assert_array_equal(normalizer.score(Q), before)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", NORMALIZERS)
@pytest.mark.parametrize("kept", ["both", "source", "copies"])
def test_a_restored_normalizer_gives_the_same_bits(name, metric, kept):
    banks, Q = clips(19, dtype=np.float32)
    if kept == "source":
        banks["target"] = banks["target"][:0]
    if kept == "copies":
        banks["source"][7], banks["target"][3] = banks["source"][2], banks["source"][4]
    whole = fitted(name, banks, metric, **SMALL[name])
    again = make_normalizer(name, metric, **SMALL[name]).restore(banks, whole.state())
    for one, other in (
        (quiet(again.domain_scores, Q), quiet(whole.domain_scores, Q)),
        (quiet(again.leave_one_out), quiet(whole.leave_one_out)),
        (again.state(), whole.state()),
    ):
        assert list(one) == list(other)
        for key, values in one.items():
            np.testing.assert_array_equal(values, other[key])


@pytest.mark.parametrize("name", NORMALIZERS)
def test_a_state_of_other_banks_is_refused(name):
    banks, _ = clips(20)
    normalizer = fitted(name, banks, **SMALL[name])
    with pytest.raises(ParameterError, match=f"saved state of {name} has the arrays"):
        normalizer.restore(banks, {**normalizer.state(), "other": np.zeros(1)})
    shorter = {**banks, "source": banks["source"][1:]}
    if name in DENSE:
        with pytest.raises(ParameterError, match=f"saved state of {name}, .*first: int64"):
            normalizer.restore(shorter, normalizer.state())
    if name == "domain_zscore":
        for values in ([0.0, 0.0], [np.nan, 1.0], [1.0]):
            with pytest.raises(ParameterError, match="saved state of domain_zscore, target"):
                normalizer.restore(banks, {**normalizer.state(), "target": np.array(values)})


@pytest.mark.parametrize("name", NORMALIZERS)
def test_a_state_is_of_a_fitted_normalizer(name):
    with pytest.raises(NotFittedError, match="call fit first"):
        make_normalizer(name).state()


def test_a_read_only_bank_is_held_and_not_copied():
    banks, _ = clips(21)
    for rows in banks.values():
        rows.setflags(write=False)
    for name in NORMALIZERS:
        held = quiet(make_normalizer(name).fit, banks)
        index = (getattr(held, "indexes_", None) or held.banks_)["source"]
        if name == "local_density":
            index = index[0]
        if name == "domain_local_density":
            index = index.index
        assert np.shares_memory(index.points.rows, banks["source"])
