"""What every normaliser promises, this package's and plug-ins' alike."""

from __future__ import annotations

import tomllib
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firstshot.errors import FirstshotWarning, NotFittedError, ParameterError
from firstshot.scoring.normalizers import (
    NORMALIZERS,
    Normalizer,
    Restorable,
    default_parameters,
    list_normalizers,
    make_normalizer,
)

EXAMPLE = Path(__file__).resolve().parents[3] / "docs" / "plugin_example"
NAMES = (*NORMALIZERS, "centre_distance")
PARAMETERS = {
    "none": {"k": 2},
    "test_zscore": {"k": 2},
    "domain_zscore": {"k": 2, "own_std": True},
    "local_density": {"k": 3},
    "domain_local_density": {"k_source": 3, "k_target": 2},
    "density": {"k": 3},
    "domain_median": {"k": 2},
    "corrected": {"correction": "difference"},
    "mahalanobis": {},
    "pca_residual": {"share": 0.5},
    "centre_distance": {"unit": 2.0},
}
"""For every normaliser parameters that change its scores."""
every_normalizer = pytest.mark.parametrize("name", NAMES)
pytestmark = pytest.mark.skipif(not EXAMPLE.exists(), reason="the documentation is not here")


def install(folder, group, points):
    """Lay out what installing a package leaves behind: its metadata with entry points."""
    metadata = folder / "example-0.1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: example\nVersion: 0.1.0\n")
    lines = [f"{point} = {value}" for point, value in points.items()]
    (metadata / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))


@pytest.fixture(autouse=True)
def _plugin(monkeypatch, tmp_path):
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    install(tmp_path / "site", *list(project["entry-points"].items())[1])
    monkeypatch.syspath_prepend(str(EXAMPLE))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    warnings.simplefilter("ignore", FirstshotWarning)


def clips(seed, count, dim=4):
    return np.random.default_rng(seed).standard_normal((count, dim))


BANKS = {"source": clips(1, 14), "target": clips(2, 6) + 1}
QUERIES = 2 * clips(3, 12)


@every_normalizer
def test_it_is_listed_and_has_the_members_of_a_normaliser(name):
    assert name in list_normalizers()
    normalizer = make_normalizer(name, "euclidean")
    assert isinstance(normalizer, Normalizer)
    assert isinstance(normalizer, Restorable)
    assert (normalizer.name, normalizer.metric) == (name, "euclidean")


@every_normalizer
def test_fit_gives_the_normaliser_itself_and_scores_are_finite(name):
    normalizer = make_normalizer(name)
    assert normalizer.fit(BANKS) is normalizer
    scores = normalizer.score(QUERIES)
    assert scores.dtype == np.float64
    assert scores.shape == (12,)
    assert np.isfinite(scores).all()


@every_normalizer
def test_the_score_is_the_least_of_the_domains(name):
    normalizer = make_normalizer(name).fit(BANKS)
    terms = normalizer.domain_scores(QUERIES)
    assert set(terms) == {"source", "target"}
    np.testing.assert_array_equal(normalizer.score(QUERIES), np.minimum(*terms.values()))


@every_normalizer
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**31))
def test_the_order_of_members_and_queries_changes_no_score(name, seed):
    rng = np.random.default_rng(seed)
    banks = {"source": rng.standard_normal((9, 3)), "target": rng.standard_normal((5, 3)) + 1}
    moved = {domain: rng.permutation(members) for domain, members in banks.items()}
    queries, order = 2 * rng.standard_normal((6, 3)), rng.permutation(6)
    expected = make_normalizer(name, **PARAMETERS[name]).fit(banks).score(queries)
    found = make_normalizer(name, **PARAMETERS[name]).fit(moved).score(queries[order])
    np.testing.assert_allclose(found, expected[order], rtol=1e-9, atol=1e-12)


@every_normalizer
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**31), shift=st.sampled_from([-100.0, 0.5, 1000.0]))
def test_moving_all_clips_alike_changes_no_score(name, seed, shift):
    rng = np.random.default_rng(seed)
    banks = {"source": rng.standard_normal((9, 3)), "target": rng.standard_normal((5, 3)) + 1}
    queries = 2 * rng.standard_normal((6, 3))
    moved = {domain: members + shift for domain, members in banks.items()}
    expected = make_normalizer(name, **PARAMETERS[name]).fit(banks).score(queries)
    found = make_normalizer(name, **PARAMETERS[name]).fit(moved).score(queries + shift)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)


@every_normalizer
def test_what_is_far_from_all_clips_scores_higher(name):
    if name == "pca_residual":
        pytest.skip("in few dimensions nothing lies outside of its subspace")
    scores = make_normalizer(name).fit(BANKS).score(np.concatenate([QUERIES, 100 + QUERIES]))
    assert scores[12:].min() > scores[:12].max()


@every_normalizer
def test_a_clip_that_is_left_out_scores_as_if_it_had_not_been_there(name):
    if name == "test_zscore":
        pytest.skip("it has no test clips to take the statistics of")
    left_out = make_normalizer(name, **PARAMETERS[name]).fit(BANKS).leave_one_out()
    for domain, number in (("source", 0), ("source", 9), ("target", 2)):
        banks = {**BANKS, domain: np.delete(BANKS[domain], number, axis=0)}
        expected = make_normalizer(name, **PARAMETERS[name]).fit(banks)
        own = BANKS[domain][number : number + 1]
        assert left_out[domain][number] == pytest.approx(expected.score(own)[0], rel=1e-9)
    assert [len(left_out[domain]) for domain in BANKS] == [14, 6]


@every_normalizer
def test_a_clips_score_does_not_depend_on_the_others_of_the_call(name):
    if name == "test_zscore":
        pytest.skip("it is transductive, and says so")
    normalizer = make_normalizer(name).fit(BANKS)
    together = normalizer.score(QUERIES)
    alone = [normalizer.score(query[None])[0] for query in QUERIES]
    np.testing.assert_array_equal(together, alone)


@every_normalizer
def test_a_restored_normaliser_scores_the_same_bits(name):
    fitted = make_normalizer(name, **PARAMETERS[name]).fit(BANKS)
    again = make_normalizer(name, **PARAMETERS[name]).restore(BANKS, fitted.state())
    np.testing.assert_array_equal(again.score(QUERIES), fitted.score(QUERIES))
    for domain, scores in fitted.leave_one_out().items():
        np.testing.assert_array_equal(again.leave_one_out()[domain], scores)
    with pytest.raises(ParameterError, match=f"the saved state of {name} has the arrays"):
        make_normalizer(name).restore(BANKS, {"another": np.zeros(1)})


@every_normalizer
def test_a_domain_may_be_empty(name):
    normalizer = make_normalizer(name).fit({"source": BANKS["source"], "target": None})
    assert list(normalizer.domain_scores(QUERIES)) == ["source"]
    assert len(normalizer.leave_one_out()["target"]) == 0


@every_normalizer
def test_parameters_change_the_scores_and_unknown_ones_are_named(name):
    assert set(PARAMETERS[name]) <= set(default_parameters(name))
    plain, other = make_normalizer(name), make_normalizer(name, **PARAMETERS[name])
    same = np.array_equal(plain.fit(BANKS).score(QUERIES), other.fit(BANKS).score(QUERIES))
    assert same == (not PARAMETERS[name])
    with pytest.raises(ParameterError, match=f"{name} has no parameter 'wrong'; it takes"):
        make_normalizer(name, wrong=1)


@every_normalizer
def test_before_fit_there_is_nothing_to_score_with(name):
    with pytest.raises(NotFittedError, match="call fit first"):
        make_normalizer(name).score(QUERIES)


BROKEN = {
    "missing": ("no_such_module:Thing", "cannot be imported"),
    "failing": ("broken_plugin:Failing", r"failed \(RuntimeError: no\)"),
    "bare": ("broken_plugin:Bare", "gives a Bare, which lacks members of"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_with_a_plugin_is_reported_as_its_fault(name, monkeypatch, tmp_path):
    install(tmp_path / "other", "firstshot.normalizers", {n: v for n, (v, _) in BROKEN.items()})
    (tmp_path / "other" / "broken_plugin.py").write_text(
        "class Failing:\n"
        "    def __init__(self, metric):\n"
        "        raise RuntimeError('no')\n"
        "class Bare:\n"
        "    def __init__(self, metric):\n"
        "        pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "other"))
    value, fault = BROKEN[name]
    words = f"normaliser '{name}': its plug-in {value} of the package example {fault}"
    with pytest.raises(ParameterError, match=words):
        make_normalizer(name)


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(ParameterError, match=r"'centre' is not known; .*none, .*centre_distance"):
        make_normalizer("centre")
