"""Thresholds against scipy.stats, mpmath-checked special functions, simulation and hand counts."""

from __future__ import annotations

import math
import subprocess
import sys
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import special, stats

from firstshot.errors import FirstshotWarning, ParameterError
from firstshot.scoring.gamma import LARGE_SHAPE, fit_gamma, log_minus_digamma
from firstshot.scoring.threshold import (
    clips_needed,
    decide,
    fit_threshold,
    p_value,
    p_value_in_words,
    smallest_promise,
    threshold_at,
)


@settings(max_examples=300, deadline=None)
@given(st.floats(-3, 9))
def test_the_slope_of_the_log_gamma_function_keeps_its_digits(exponent):
    x = 10**exponent
    value, slope = log_minus_digamma(x)
    assert value == pytest.approx(math.log(x) - special.digamma(x), rel=1e-13, abs=1e-13)
    assert slope == pytest.approx(1 / x - special.polygamma(1, x), rel=1e-10, abs=1e-13)
    if x > 1:  # bounds that hold for all x (Alzer, 1997)
        assert 1 / (2 * x) < value < (1 / (2 * x) + 1 / (12 * x**2)) * (1 + 1e-12)


def test_the_series_of_narrow_laws_joins_without_a_step():
    below, above = log_minus_digamma(LARGE_SHAPE - 1e-9), log_minus_digamma(LARGE_SHAPE + 1e-9)
    assert below == pytest.approx(above, rel=1e-10)


def shape_of_a_narrow_law(scores):
    """The shape k of the likelihood equation with 50 digits; log k - digamma k by its series."""
    with localcontext(prec=50):
        values = [Decimal(float(score)) for score in scores]
        mean = sum(values) / len(values)
        spread = mean.ln() - sum(value.ln() for value in values) / len(values)
        return float((6 + (36 + 48 * spread).sqrt()) / (24 * spread))


@settings(max_examples=60, deadline=None)
@example(4.0, 2, 268435457, 0.0)
@given(st.floats(-1, 4), st.integers(2, 200), st.integers(0, 2**32 - 1), st.floats(-6, 6))
def test_gamma_fit_equals_scipy_with_the_location_held(exponent, clips, seed, scale):
    scores = stats.gamma.rvs(
        10**exponent, scale=10**scale, size=clips, random_state=np.random.default_rng(seed)
    )
    law = fit_gamma(scores)
    shape, _, width = stats.gamma.fit(scores, floc=0)
    if shape > 1e6:  # scipy loses digits of so narrow a law
        shape = shape_of_a_narrow_law(scores)
        width = scores.mean() / shape
    assert law.location == 0
    assert law.shape == pytest.approx(shape, rel=1e-6)
    assert law.scale == pytest.approx(width, rel=1e-6)
    assert law.quantile(0.9) == pytest.approx(stats.gamma.ppf(0.9, shape, 0, width), rel=1e-8)


def test_scores_that_may_be_negative_are_fitted_from_a_location_that_moves_with_them():
    scores = np.random.default_rng(0).normal(size=50)
    law = fit_gamma(scores)
    assert law.location == pytest.approx(scores.min() - scores.std())
    shape, _, scale = stats.gamma.fit(scores, floc=law.location)
    assert (law.shape, law.scale) == pytest.approx((shape, scale), rel=1e-6)
    moved = fit_gamma(scores * 2 - 7)
    assert moved.quantile(0.9) == pytest.approx(law.quantile(0.9) * 2 - 7)
    # A tenth of a normal sample lies above the 0.9 quantile, near enough for another law.
    assert law.quantile(0.9) == pytest.approx(np.quantile(scores, 0.9), abs=0.25)


def test_a_score_of_zero_does_not_break_the_gamma_fit():
    law = fit_gamma([0.0, 1.0, 2.0, 3.0])
    assert law.location < 0
    assert 2.0 < law.quantile(0.9) < 5.0


def test_what_no_law_can_be_fitted_to_is_named():
    with pytest.raises(ParameterError, match=r"all 3 scores equal 0\.5.*copies"):
        fit_gamma([0.5, 0.5, 0.5])
    with pytest.raises(ParameterError, match="all 2 scores equal 0:"):
        fit_gamma([0.0, 0.0])
    with pytest.raises(ParameterError, match=r"shape \(1,\); give two or more"):
        fit_gamma([0.5])
    with pytest.raises(ParameterError, match="score 1 is not above the gamma law's location 1"):
        fit_gamma([1.0, 2.0], location=1.0)
    with pytest.raises(ParameterError, match="probability 1"):
        fit_gamma([1.0, 2.0]).quantile(1.0)


def test_the_default_is_the_challenges_gamma_law_at_its_0_9_quantile():
    scores = stats.gamma.rvs(3.0, scale=2.0, size=100, random_state=np.random.default_rng(1))
    threshold = fit_threshold(scores)
    shape, location, scale = stats.gamma.fit(scores, floc=0)
    assert threshold.value == pytest.approx(stats.gamma.ppf(0.9, shape, location, scale))
    assert threshold.method == "gamma"
    assert threshold.promised_false_alarm_rate is None
    assert "no rate is promised if they do not" in threshold.promise
    assert threshold.parameters["shape"] == pytest.approx(shape)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(0, 15), min_size=1, max_size=60),
    st.integers(1, 999).map(lambda thousandths: thousandths / 1000),
    st.lists(st.integers(-1, 16), min_size=1, max_size=20),
)
def test_conformal_decides_exactly_as_its_p_values(calibration, rate, scores):
    if rate < 1 / (len(calibration) + 1):
        with pytest.raises(ParameterError, match="cannot be promised"):
            fit_threshold(calibration, "conformal", rate)
        return
    threshold = fit_threshold(calibration, "conformal", rate)
    expected = p_value(scores, calibration) <= rate
    if rate >= len(calibration) / (len(calibration) + 1):
        # A p-value of 1 is never below the rate; the smallest score is the lowest threshold.
        expected &= np.asarray(scores) > min(calibration)
    np.testing.assert_array_equal(decide(scores, threshold), expected)
    assert threshold.promised_false_alarm_rate <= rate + 1e-9


@pytest.mark.parametrize(("method", "rate"), [("conformal", 0.07), ("quantile", 0.07)])
def test_the_promised_rate_is_kept_on_average_over_calibration_sets(method, rate):
    generator = np.random.default_rng(3)
    shares = []
    for _ in range(4000):
        threshold = fit_threshold(generator.exponential(size=24), method, rate)
        shares.append(math.exp(-threshold.value))  # the true share of normal clips above it
    kept = float(np.mean(shares))
    assert kept <= threshold.promised_false_alarm_rate + 3 * np.std(shares) / math.sqrt(4000)
    if method == "conformal":
        assert threshold.promised_false_alarm_rate == pytest.approx(1 / 25)
        assert kept == pytest.approx(1 / 25, abs=0.003)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(0, 30) | st.floats(-5, 5), min_size=3, max_size=40),
    st.sampled_from(["conformal", "quantile"]),
    st.floats(0.02, 0.95),
)
@pytest.mark.filterwarnings("ignore::firstshot.errors.FirstshotWarning")
def test_exchangeable_scores_exceed_the_threshold_as_seldom_as_promised(scores, method, rate):
    """Of n + 1 exchangeable scores each is the new one equally often: all n + 1 cases are tried."""
    rate = max(rate, smallest_promise(len(scores) - 1))
    alarms, p_values = 0, []
    for new, score in enumerate(scores):
        others = np.delete(scores, new)
        threshold = fit_threshold(others, method, rate)
        alarms += int(decide([score], threshold)[0])
        p_values.append(p_value([score], others)[0])
    assert alarms / len(scores) <= threshold.promised_false_alarm_rate + 1e-9
    if method == "conformal":
        assert threshold.promised_false_alarm_rate <= rate + 1e-9
    assert np.mean(np.array(p_values) <= rate) <= rate + 1e-9


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["conformal", "quantile", "gamma"]),
    st.sampled_from([0.25, 3.0, 1024.0]),
)
@pytest.mark.filterwarnings("ignore::firstshot.errors.FirstshotWarning")
def test_a_threshold_scales_with_the_scores_and_ignores_their_order(seed, method, factor):
    generator = np.random.default_rng(seed)
    scores = generator.gamma(2.0, size=30)
    threshold = fit_threshold(scores, method, 0.1).value
    assert fit_threshold(factor * scores, method, 0.1).value == pytest.approx(factor * threshold)
    assert fit_threshold(generator.permutation(scores), method, 0.1).value == pytest.approx(
        threshold
    )
    assert fit_threshold(scores, method, 0.3).value <= threshold


def test_quantile_interpolates_at_weibulls_plotting_position():
    scores = np.random.default_rng(4).normal(size=37)
    for rate in (0.05, 0.1, 0.31, 0.9):
        expected = np.quantile(scores, 1 - rate, method="weibull")
        threshold = fit_threshold(scores, "quantile", rate)
        assert threshold.value == pytest.approx(expected, rel=1e-12)
        assert threshold.promised_false_alarm_rate >= rate - 1e-12


def test_nineteen_clips_promise_one_in_twenty_and_refuse_one_in_fifty():
    scores = np.arange(19.0)
    for method in ("conformal", "quantile"):
        threshold = fit_threshold(scores, method, 0.05)
        assert threshold.value == 18.0
        assert threshold.promised_false_alarm_rate == pytest.approx(0.05)
        with pytest.raises(ParameterError, match=r"from 19 normal clips, only 0\.05 or more.*49"):
            fit_threshold(scores, method, 0.02)
    assert smallest_promise(19) == 0.05
    assert [clips_needed(rate) for rate in (0.5, 0.1, 0.05, 0.02, 0.01, 0.001)] == [
        1, 9, 19, 49, 99, 999
    ]  # fmt: skip
    for clips in range(1, 300):
        assert clips_needed(1 / (clips + 1)) == clips


def test_the_gamma_law_goes_beyond_its_data_only_when_told():
    scores = np.arange(1.0, 20.0)
    with pytest.raises(ParameterError, match=r"99 normal clips, or let the gamma law extrapolate"):
        fit_threshold(scores, "gamma", 0.01)
    threshold = fit_threshold(scores, "gamma", 0.01, extrapolate=True)
    assert threshold.value > 19.0
    assert "extrapolated from 19 normal clips" in threshold.promise
    with pytest.raises(ParameterError, match="cannot extrapolate"):
        fit_threshold(scores, "conformal", 0.1, extrapolate=True)


def test_the_challenges_rate_from_a_handful_of_clips_warns():
    with pytest.warns(FirstshotWarning, match="5 normal clips depends on the gamma law"):
        fit_threshold([1.0, 2.0, 3.0, 4.0, 5.0])


def test_constant_scores_have_a_ranked_threshold_and_no_gamma_law():
    for method in ("quantile", "conformal"):
        threshold = fit_threshold([2.0] * 20, method, 0.1)
        assert threshold.value == 2.0
        assert decide([2.0, 2.1], threshold).tolist() == [0, 1]
    with pytest.raises(ParameterError, match="all 20 scores equal 2"):
        fit_threshold([2.0] * 20)


def test_p_values_count_scores_at_or_above():
    generator = np.random.default_rng(5)
    scores, calibration = generator.integers(9, size=30), generator.integers(9, size=17)
    expected = [(1 + sum(c >= s for c in calibration)) / 18 for s in scores]
    assert p_value(scores, calibration).tolist() == expected


def test_a_score_equal_to_the_threshold_is_normal():
    assert decide([0.3, np.nextafter(0.3, 1)], 0.3).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], "conformal", 0.1), r"shape \(0,\)"),
        (([1.0, math.nan], "conformal", 0.4), "score nan of clip number 1"),
        (([1.0, 2.0], "median", 0.1), "'median' is not known"),
        (([1.0, 2.0], "conformal", 0.0), "rate is 0.0"),
        (([1.0, 2.0], "conformal", 1.0), "rate is 1.0"),
        (([[1.0, 2.0]], "conformal", 0.5), "flat list"),
    ],
)
def test_settings_that_cannot_be_used_are_named(arguments, message):
    with pytest.raises(ParameterError, match=message):
        fit_threshold(*arguments)


def test_a_threshold_that_is_not_finite_decides_nothing():
    with pytest.raises(ParameterError, match="threshold is nan"):
        decide([1.0], math.nan)


def test_scipy_stats_stays_out_of_a_fitted_threshold():
    code = (
        "import sys\n"
        "from firstshot.scoring.threshold import fit_threshold\n"
        "fit_threshold(range(1, 30))\n"
        "assert 'scipy.stats' not in sys.modules, 'scipy.stats was imported'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_quantile_that_promises_far_more_alarms_than_requested_says_so():
    with pytest.warns(
        FirstshotWarning, match=r"10 normal clips promise 18\.2% .* 10% was requested"
    ):
        fit_threshold(range(1, 11), "quantile", 0.1)


def test_a_gamma_law_that_leaves_too_few_scores_above_its_threshold_says_so():
    scores = np.append(np.linspace(1.0, 1.1, 99), 1000.0)
    with pytest.warns(FirstshotWarning, match=r"fits the 100 normal scores badly: 1 lie above"):
        fit_threshold(scores, "gamma", 0.1)


def test_p_values_are_worded_as_what_so_few_clips_can_show():
    assert p_value_in_words(1 / 29, 28) == (
        "no normal clip of 28 scores as high "
        "(the smallest p-value that 28 clips can show is 1 in 29)"
    )
    assert p_value_in_words(2 / 29, 28) == (
        "1 of 28 normal clips score at least as high (p = 0.069)"
    )
    assert p_value_in_words(1.0, 28) == "28 of 28 normal clips score at least as high (p = 1)"
    assert p_value_in_words(0.5, 1).endswith("that 1 clip can show is 1 in 2)")


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 100_000), st.data())
def test_the_words_of_a_p_value_count_the_clips_at_or_above(clips, data):
    above = data.draw(st.integers(1, clips))
    assert p_value_in_words((1 + above) / (clips + 1), clips).startswith(f"{above} of {clips} ")


def test_a_threshold_says_why_it_promises_another_rate_than_was_asked():
    scores = np.arange(28.0)
    assert fit_threshold(scores, "conformal", 0.1).promise.endswith(
        "; 10% was requested: 28 clips promise multiples of 1/29, and 2/29 is the largest that is "
        "not above it"
    )
    assert fit_threshold(scores, "quantile", 0.1).promise.endswith(
        "3/29 is the smallest that is not below it"
    )
    for method in ("conformal", "quantile"):
        assert "requested" not in fit_threshold(np.arange(29.0), method, 0.1).promise
    assert fit_threshold(scores, "conformal", 0.99).promise.endswith(
        "28/29 is the largest that they can promise, below it"
    )


@pytest.mark.parametrize("method", ["conformal", "quantile", "gamma"])
def test_a_threshold_at_another_rate_is_what_the_method_sets_there(method):
    scores = np.random.default_rng(6).gamma(2.0, size=60)
    threshold = fit_threshold(scores, method, 0.1)
    for rate in (0.1, 0.05, 0.3):
        assert threshold_at(threshold, scores, rate) == fit_threshold(scores, method, rate).value
    if method != "gamma":
        with pytest.raises(ParameterError, match="cannot be promised from 60 normal clips"):
            threshold_at(threshold, scores, 0.01)
