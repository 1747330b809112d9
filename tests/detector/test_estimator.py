"""Detectors and ensembles keep scikit-learn's manners: settings, copies, pipelines, searches."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import soundfile
from sklearn.base import clone, is_outlier_detector
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import TransformerTags
from sklearn.utils.estimator_checks import estimator_checks_generator
from sklearn.utils.validation import check_is_fitted

from firstshot.detector import Detector, Ensemble
from firstshot.encoders.logmel import LogMel
from firstshot.errors import FirstshotWarning, NotFittedError, ParameterError

RATE = 16000
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*take the place of the K nearest"),
    pytest.mark.filterwarnings("ignore:.*same samples as the normal clip"),
]


def sounds(count, first=0, samples=3200):
    draws = [np.random.default_rng(first + i) for i in range(count)]
    return [(0.1 * rng.standard_normal(samples), RATE) for rng in draws]


def hums(count, samples=3200):
    return [(0.1 * np.sin(np.arange(samples) * (0.2 + 0.01 * i)), RATE) for i in range(count)]


def pair(**settings):
    return Ensemble([Detector(layers=[1]), Detector(layers=[2])], **settings)


# Settings


def test_settings_are_got_and_set_by_name():
    detector = Detector(layers=[1], normalizer="none")
    settings = detector.get_params()
    assert settings == detector.get_params(deep=False)
    assert settings["layers"] == [1]
    assert Detector(**settings).get_params() == settings
    assert detector.set_params(layers=[2], metric="cosine") is detector
    assert (detector.layers, detector.metric, detector.normalizer) == ([2], "cosine", "none")
    assert set(pair().get_params()) == {
        "detectors",
        "threshold",
        "false_alarm_rate",
        "sample_rate",
    }


@pytest.mark.parametrize("made", [Detector("logmel"), pair()])
def test_an_unknown_setting_is_refused_and_none_is_set(made):
    with pytest.raises(ParameterError, match=r"setting 'neighbours': choose one of .*threshold"):
        made.set_params(threshold="gamma", neighbours=3)
    assert made.threshold == "conformal"


def test_a_clone_has_the_settings_and_nothing_learned():
    encoder = LogMel(keep_level=True)
    fitted = Detector(encoder, layers=[2], normalizer_settings={"k_source": 3}).fit(sounds(12))
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    assert copy.encoder is encoder
    assert copy.layers is not fitted.layers
    assert copy.normalizer_settings is not fitted.normalizer_settings
    with pytest.raises(NotFittedError, match="this detector has learned nothing yet"):
        copy.score(sounds(1))
    assert np.array_equal(copy.fit(sounds(12)).training_scores_, fitted.training_scores_)


def test_a_clone_of_an_ensemble_has_detectors_of_its_own():
    fitted = pair(false_alarm_rate=0.2).fit(sounds(12))
    copy = clone(fitted)
    assert [d.layers for d in copy.detectors] == [[1], [2]]
    assert copy.false_alarm_rate == 0.2
    assert not any(a is b for a, b in zip(copy.detectors, fitted.detectors, strict=True))
    with pytest.raises(NotFittedError, match="this ensemble has learned nothing yet"):
        copy.predict(sounds(1))


# Scores and decisions


@pytest.mark.parametrize("make", [Detector, pair])
def test_the_decision_is_the_score_minus_the_threshold(make):
    fitted, new = make().fit(sounds(20)), [*sounds(3, 90), *hums(2)]
    results = fitted.predict(new)
    assert np.array_equal(fitted.score_samples(new), [result.score for result in results])
    expected = [result.score - result.threshold for result in results]
    assert np.array_equal(fitted.decision_function(new), expected)
    assert [value > 0 for value in expected] == [result.is_anomaly for result in results]
    assert fitted.score_samples(hums(2)).min() > fitted.score_samples(sounds(3, 90)).max()


def test_the_decision_of_a_recording_is_by_the_threshold_of_its_pieces():
    detector = Detector("logmel", length="windows:0.2").fit(sounds(20))
    long = np.concatenate([samples for samples, _ in sounds(30, 200)]), RATE
    result = detector.predict(long)
    assert result.threshold != detector.threshold_.value
    assert detector.decision_function(long) == [result.score - result.threshold]


@pytest.mark.parametrize("make", [Detector, pair])
def test_the_rate_of_bare_arrays_may_be_a_setting(make):
    clips = np.array([samples for samples, _ in sounds(12)])
    fitted = make(sample_rate=RATE).fit(clips)
    assert np.array_equal(fitted.training_scores_, make().fit(sounds(12)).training_scores_)
    assert np.array_equal(fitted.score(clips[:2]), make().fit(sounds(12)).score(sounds(2)))
    with pytest.raises(ParameterError, match="without its sample rate"):
        make().fit(clips)


# Labels


@pytest.mark.parametrize("make", [Detector, pair])
@pytest.mark.parametrize("kind", [list, tuple, np.array, lambda y: np.array(y) > 0])
def test_anomalous_clips_are_left_out_where_labels_are_given(make, kind):
    clips, y = [*sounds(12), *hums(2)], [0] * 12 + [1] * 2
    fitted = make().fit(clips, kind(y))
    assert np.array_equal(fitted.training_scores_, make().fit(sounds(12)).training_scores_)


@pytest.mark.parametrize(
    ("y", "said"),
    [
        ([1, -1, 1], "y holds the label -1; give 0 for a normal clip, 1 for an anomalous one"),
        (np.array([0.0, 0.5, 1.0]), "y holds the label 0.5; give 0"),
        ([0, 1], "y holds 2 labels for 3 clips; give one per clip"),
    ],
)
def test_other_labels_are_refused(y, said):
    with pytest.raises(ParameterError, match=said):
        Detector("logmel").fit(sounds(3), y)


# Within scikit-learn


def test_a_detector_is_the_last_step_of_a_pipeline():
    quieter = FunctionTransformer(lambda clips: [(0.5 * samples, rate) for samples, rate in clips])
    detector = Detector("logmel", encoder_settings={"keep_level": True})
    pipeline = Pipeline([("quieter", quieter), ("detector", detector)])
    alone = clone(detector).fit(quieter.transform(sounds(12)))
    assert pipeline.fit(sounds(12), [0] * 12) is pipeline
    for call in ("predict", "score_samples", "decision_function"):
        expected = getattr(alone, call)(quieter.transform(sounds(3, 90)))
        assert np.array_equal(getattr(pipeline, call)(sounds(3, 90)), expected)
    pipeline.set_params(detector__layers=[2])
    assert pipeline.named_steps["detector"].layers == [2]


def test_a_grid_search_finds_the_setting_that_tells_anomalies_best(tmp_path):
    clips = [*sounds(24, samples=4800), *sounds(6, 50, samples=4800)]
    y = [0] * 24 + [1] * 6
    paths = []
    for i, (samples, rate) in enumerate(clips):
        paths.append(tmp_path / f"{i}.wav")
        # Only a level that is kept tells the louder clips from the others.
        soundfile.write(paths[-1], samples * (1.5 if y[i] else 1.0), rate)
    search = GridSearchCV(
        Detector(normalizer="local_density", normalizer_settings={"k": 2}),
        {"encoder_settings": [{"keep_level": False}, {"keep_level": True}]},
        scoring="roc_auc",
        cv=StratifiedKFold(3),
        error_score="raise",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FirstshotWarning)
        search.fit(paths, y)
    assert search.best_params_ == {"encoder_settings": {"keep_level": True}}
    assert search.best_score_ == 1.0
    assert len(search.best_estimator_.fitted_.normal_clips.rows) == 24


def test_scikit_learn_tells_what_it_is_and_whether_it_has_learned():
    for made in (Detector("logmel"), pair()):
        assert is_outlier_detector(made)
        with pytest.raises(ValueError, match="not fitted yet"):
            check_is_fitted(made)
        check_is_fitted(made.fit(sounds(12)))


RESULTS = "predict returns results, not the labels 1 and -1"
SIGN = "higher is more anomalous, and predict returns results"
SOUND = "the data are no sound: too short, constant, or a single clip"
OWN = "the error is firstshot's own class with a message of its own"
NO_FEATURES = "clips may differ in length; there is no number of features"
SETTING = "`transform` is a setting, not a method"
NOT_APPLICABLE = {
    "check_fit_score_takes_y": "the second argument of fit is the target clips, or y",
    "check_pipeline_consistency": "score is one number per clip and takes no y",
    "check_estimators_unfitted": OWN,
    "check_complex_data": OWN,
    "check_dtype_object": OWN,
    "check_estimators_empty_data_messages": OWN,
    "check_estimators_nan_inf": OWN,
    "check_estimator_sparse_tag": OWN,
    "check_estimator_sparse_array": OWN,
    "check_estimator_sparse_matrix": OWN,
    "check_n_features_in": NO_FEATURES,
    "check_n_features_in_after_fitting": NO_FEATURES,
    "check_fit2d_predict1d": "an array (samples,) is one clip",
    "check_fit2d_1sample": SOUND,
    "check_fit2d_1feature": SOUND,
    "check_fit1d": SOUND,
    "check_estimators_dtypes": SOUND,
    "check_classifier_data_not_an_array": SOUND,
    "check_methods_sample_order_invariance": RESULTS,
    "check_methods_subset_invariance": RESULTS,
    "check_fit_idempotent": RESULTS,
    "check_estimators_pickle": RESULTS,
    "check_outliers_train": SIGN,
    "check_array_api_input": "needs an environment variable of SciPy",
}
NOT_OF_A_DETECTOR = {
    "check_dict_unchanged": SETTING,
    "check_f_contiguous_array_estimator": SETTING,
    "check_transformer_data_not_an_array": SETTING,
    "check_transformer_general": SETTING,
    "check_transformer_preserve_dtypes": SETTING,
    "check_transformers_unfitted": SETTING,
}
NOT_OF_AN_ENSEMBLE = {
    "check_estimators_overwrite_params": "an ensemble fits the detectors that it is given",
}


class AnyLabels:
    """Leaves out `y`: the checks give labels of classes and of regressions, which fit refuses."""

    def fit(self, source, target=None):
        return super().fit(source)


class CheckedDetector(AnyLabels, Detector):
    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags = TransformerTags()  # asked for because of the setting `transform`
        return tags


LONE = (Detector("logmel"),)


class CheckedEnsemble(AnyLabels, Ensemble):
    def __init__(
        self,
        detectors=LONE,
        *,
        threshold="conformal",
        false_alarm_rate=0.1,
        sample_rate=20,
    ):
        super().__init__(
            detectors,
            threshold=threshold,
            false_alarm_rate=false_alarm_rate,
            sample_rate=sample_rate,
        )


def checks(made, excluded):
    for estimator, check in estimator_checks_generator(made):
        name = getattr(check, "func", check).__name__
        if name not in excluded:
            yield pytest.param(estimator, check, id=f"{type(made).__name__}-{name}")


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # that it does not inherit from BaseEstimator
    CHECKS = [
        # At 20 Hz, the checks' rows of a few values last long enough to be clips.
        *checks(CheckedDetector(sample_rate=20), NOT_APPLICABLE | NOT_OF_A_DETECTOR),
        *checks(CheckedEnsemble(sample_rate=20), NOT_APPLICABLE | NOT_OF_AN_ENSEMBLE),
    ]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("estimator", "check"), CHECKS)
def test_scikit_learns_own_checks_pass_where_they_apply(estimator, check):
    check(estimator)


def test_most_checks_of_settings_and_fit_apply():
    names = {param.id.split("-")[1] for param in CHECKS}
    assert len(CHECKS) >= 30
    assert names >= {
        "check_estimator_cloneable",
        "check_no_attributes_set_in_init",
        "check_parameters_default_constructible",
        "check_get_params_invariance",
        "check_set_params",
        "check_estimators_fit_returns_self",
        "check_fit_check_is_fitted",
        "check_estimators_overwrite_params",
        "check_dont_overwrite_parameters",
    }
