"""A detector file from anyone is refused in one line, or scores finite numbers."""

from __future__ import annotations

import hashlib
import json
import math
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tests.mutations import mutations, without_one

from firstshot.detector import Detector
from firstshot.detector.file import read_detector_file, write_detector_file
from firstshot.errors import DetectorFileError, FirstshotError, FirstshotWarning

FILES = Path(__file__).parent.parent / "files"
CLIP = np.random.default_rng(0).random(4800) - 0.5


def sounds(count, first=0):
    return [(np.random.default_rng(first + i).random(4800) - 0.5, 16000) for i in range(count)]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FirstshotWarning)
        detector = Detector(
            layers=[1, 2],
            normalizer_settings={"k_source": 3, "k_target": 2},
            encoder_settings={"keep_level": True},
        ).fit(sounds(12), sounds(4, 50))
    path = tmp_path_factory.mktemp("saved") / "fan.firstshot"
    detector.save(path)
    return path


def contents(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path, members, manifest):
    """Write a file whose digests hold, whatever its manifest says."""
    if isinstance(manifest.get("sha256"), dict):
        digests = {k: v for k, v in manifest["sha256"].items() if k != "manifest"}
        text = json.dumps({**manifest, "sha256": digests}, sort_keys=True)
        manifest["sha256"]["manifest"] = hashlib.sha256(text.encode()).hexdigest()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**members, "manifest.json": json.dumps(manifest)}.items():
            archive.writestr(name, content)


@pytest.mark.parametrize("index", ["exact", "faiss"])
def test_a_file_that_names_the_removed_approximate_index_is_searched_exactly(
    saved, tmp_path, index
):
    members = contents(saved)
    manifest = json.loads(members.pop("manifest.json"))
    manifest["settings"]["index"] = index
    write(tmp_path / "older.firstshot", members, manifest)
    older, newer = Detector.load(tmp_path / "older.firstshot"), Detector.load(saved)
    assert older.score([CLIP], sample_rate=16000) == newer.score([CLIP], sample_rate=16000)


def refused_or_sound(path, what):
    """Load and score; anything but an error in one line or finite numbers is a fault."""
    try:
        detector = Detector.load(path)
        (score,) = detector.score(CLIP, sample_rate=16000)
    except FirstshotError as error:
        assert "\n" not in str(error), what
        assert len(str(error)) < 600, what
        return False
    assert math.isfinite(score), what
    assert math.isfinite(detector.threshold_.value), what
    return True


@pytest.mark.filterwarnings("ignore::firstshot.errors.FirstshotWarning")
@pytest.mark.parametrize("file", ["saved", "schema_1", "schema_2"])
def test_every_wrong_value_in_a_manifest_is_refused_or_harmless(request, tmp_path, file):
    path = FILES / f"{file}.firstshot" if file != "saved" else request.getfixturevalue("saved")
    members, copy = contents(path), tmp_path / "copy.firstshot"
    manifest = json.loads(members["manifest.json"])
    harmless = set()
    for what, changed in (*mutations(manifest), *without_one(manifest)):
        write(copy, members, changed)
        if refused_or_sound(copy, what):
            harmless.add(what.removeprefix("without ").split(" = ")[0])
    # What may hold another value: what has a default or says nothing of the numbers. The digest of
    # the manifest is made anew by this test.
    free = ("versions", "settings.normalizer_settings")
    assert {name for name in harmless if not name.startswith(free)} <= {
        "calibration_windows",
        "heard_seconds",
        "settings.bank_precision",
        "settings.held_out",
        "settings.threshold_for",
        "settings.channel",
        "settings.encoder_settings",
        "settings.encoder_settings.keep_level",
        "settings.index",
        "threshold.parameters",
        "threshold.parameters.location",
        "threshold.promised_false_alarm_rate",
        "sha256.manifest",
    }


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("value", math.nan, "the number NaN is not finite"),
        ("value", math.inf, "the number Infinity is not finite"),
        ("value", 1e300, "threshold 1e\\+300 lies outside of 0.2"),
        ("value", "0.5", "manifest.threshold.value is '0.5', expected a finite number"),
        ("value", True, "manifest.threshold.value is True, expected a finite number"),
        ("clips", 11, "its threshold rests on 11 scores, and 16 are there"),
        ("false_alarm_rate", 1.5, "false_alarm_rate is 1.5, expected a number from 1e-12 to 1"),
        ("promise", "all is\nwell", "manifest.threshold.promise is .* expected text on one line"),
        ("method", "guess", "is 'guess', expected one of gamma, quantile, conformal"),
    ],
)
def test_a_threshold_that_would_call_nothing_anomalous_is_refused(
    saved, tmp_path, field, value, told
):
    members, path = contents(saved), tmp_path / "copy.firstshot"
    manifest = json.loads(members["manifest.json"])
    manifest["threshold"][field] = value
    write(path, members, manifest)
    with pytest.raises(DetectorFileError, match=told) as caught:
        Detector.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "spoilt", "told"),
    [
        ("training_scores", lambda x: x * np.nan, "training_scores has a value that is not finite"),
        ("calibration_scores", lambda x: x[:-1], "its threshold rests on 16 scores, and 15 are"),
        ("calibration_scores", lambda x: x[None], "calibration_scores is float64 of shape"),
        ("spectra", lambda x: x[:, :-3], "a spectrum has 141 values"),
        ("spectra", lambda x: x[:-1], "spectra has 15 rows for 16 members"),
        ("part_0.bank", lambda x: x[:-1], "part_0.bank has 15 rows for 16 members"),
        ("part_0.bank", lambda x: x.astype(np.int32), "part_0.bank is int32"),
        ("part_0.bank", lambda x: x * np.float32("inf"), "NaN or infinite values"),
        ("part_0.bank", lambda x: x[:, :-1].copy(), "values and the transform was fitted on"),
        ("part_1.bank", lambda x: None, "the array part_1.bank is missing"),
        ("part_0.transform.mean", lambda x: x * np.nan, "saved transform standardize, mean"),
        ("part_0.transform.mean", lambda x: x[:, None], "saved transform standardize, mean"),
        ("part_0.transform.scale", lambda x: x * 0, "saved transform standardize, scale"),
        ("part_0.normalizer.source.density", lambda x: x * 1e-300, "self-check clip scores"),
    ],
)
def test_an_array_that_is_not_what_a_detector_has_is_refused(saved, tmp_path, name, spoilt, told):
    manifest, arrays, rows = read_detector_file(saved)
    values = spoilt(arrays.pop(name))
    path = tmp_path / "copy.firstshot"
    with np.errstate(all="ignore"):
        write_detector_file(
            path, manifest, arrays if values is None else {**arrays, name: values}, rows
        )
        with pytest.raises(DetectorFileError, match=told):
            Detector.load(path)


def test_an_array_of_no_part_is_refused(saved, tmp_path):
    manifest, arrays, rows = read_detector_file(saved)
    write_detector_file(
        tmp_path / "x", manifest, {**arrays, "part_2.bank": arrays["spectra"]}, rows
    )
    with pytest.raises(DetectorFileError, match=r"'part_2\.bank' belongs to none of its 2 parts"):
        Detector.load(tmp_path / "x")
