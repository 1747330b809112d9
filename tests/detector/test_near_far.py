"""Near minus far in a detector: fitted on noise alone, kept in the file, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from tests.two_channels import RATE, record

from firstshot.detector import Detector
from firstshot.detector.embeddings import embed
from firstshot.detector.file import read_detector_file, write_detector_file
from firstshot.errors import DatasetError, DetectorFileError, ParameterError, SoundError
from firstshot.scoring.metrics import auc
from firstshot.sound.near_far import fit_transfer
from firstshot.store import EmbeddingStore

NORMAL = [(record(seed), RATE) for seed in range(20)]
NOISE = [(record(100 + seed, running=False), RATE) for seed in range(6)]
GOOD = [(record(200 + seed), RATE) for seed in range(8)]
FAULTY = [(record(300 + seed, faulty=True), RATE) for seed in range(8)]
LABELS = np.repeat([0, 1], 8)


@pytest.fixture(scope="module")
def detector():
    return Detector(channel="near-far", far_noise=NOISE).fit(NORMAL)


@pytest.fixture
def saved(detector, tmp_path):
    detector.save(tmp_path / "fan.firstshot")
    return tmp_path / "fan.firstshot"


def test_a_fault_that_the_room_hides_is_found(detector):
    hidden = Detector(channel=0).fit(NORMAL).score(GOOD + FAULTY)
    assert auc(LABELS, hidden) < 0.7
    assert auc(LABELS, detector.score(GOOD + FAULTY)) == 1.0
    assert all(result.is_anomaly for result in detector.predict(FAULTY))


def test_what_is_fitted_on_noise_keeps_more_of_a_machine_that_reaches_the_far_microphone(detector):
    per_clip = Detector(channel="near-far").fit(NORMAL)
    levels = [one.embed(GOOD[:1])[0].levels[0] for one in (detector, per_clip)]
    assert levels[0] > levels[1] + 3.0


def test_the_noise_is_read_once_and_the_settings_have_what_was_fitted(detector):
    expected = fit_transfer([[clip.astype(np.float32)] for clip, _ in NOISE], RATE)
    assert detector.embedding_settings().channel == expected
    again = Detector(channel="near-far", far_noise=expected).fit(NORMAL)
    assert again.score(GOOD).tobytes() == detector.score(GOOD).tobytes()


def test_a_loaded_detector_gives_the_same_bits(detector, saved):
    loaded = Detector.load(saved)
    assert loaded.channel == "near-far"
    assert loaded.far_noise == detector.embedding_settings().channel
    assert loaded.score(GOOD + FAULTY).tobytes() == detector.score(GOOD + FAULTY).tobytes()
    loaded.save(saved.with_name("again.firstshot"))
    again = Detector.load(saved.with_name("again.firstshot"))
    assert again.score(GOOD).tobytes() == detector.score(GOOD).tobytes()


def test_a_detector_without_noise_alone_has_no_transfer_in_its_file(tmp_path):
    path = tmp_path / "fan.firstshot"
    fitted = Detector(channel="near-far").fit(NORMAL)
    fitted.save(path)
    assert "transfer" not in read_detector_file(path)[1]
    assert Detector.load(path).score(GOOD).tobytes() == fitted.score(GOOD).tobytes()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda x: x[:, :-1],
        lambda x: x[:1],
        lambda x: np.full_like(x, np.nan),
        lambda x: x[0],
        lambda x: x * 1e12,
        lambda x: x.astype(np.int64),
    ],
)
def test_a_file_whose_transfer_cannot_be_one_is_refused(saved, tmp_path, spoil):
    manifest, arrays, rows = read_detector_file(saved)
    write_detector_file(
        tmp_path / "x.firstshot", manifest, {**arrays, "transfer": spoil(arrays["transfer"])}, rows
    )
    with pytest.raises(DetectorFileError, match="the array transfer") as raised:
        Detector.load(tmp_path / "x.firstshot")
    assert "\n" not in str(raised.value)


def test_a_file_with_a_transfer_and_another_channel_is_refused(saved, tmp_path):
    manifest, arrays, rows = read_detector_file(saved)
    settings = {**manifest["settings"], "channel": "mean"}
    write_detector_file(tmp_path / "x.firstshot", {**manifest, "settings": settings}, arrays, rows)
    with pytest.raises(DetectorFileError, match="far_noise with channel 'mean'"):
        Detector.load(tmp_path / "x.firstshot")


def test_explanations_and_edits_use_what_was_fitted(detector, saved):
    loaded = Detector.load(saved)
    assert loaded.explain(FAULTY[0]).words == detector.explain(FAULTY[0]).words
    loaded.add([(record(500), RATE)])
    assert np.isfinite(loaded.score(GOOD)).all()


def test_banks_of_other_noise_are_not_merged(detector, saved):
    other = Detector(channel="near-far", far_noise=NOISE[:2]).fit(
        [(record(600 + seed), RATE) for seed in range(9)]
    )
    with pytest.raises(ParameterError, match="channel differs: 'near-far:16000:"):
        Detector.load(saved).merge(other)


def test_embeddings_alone_use_the_noise_too(detector):
    table = embed(GOOD, encoder="spectra", channel="near-far", far_noise=NOISE)
    assert np.array_equal(
        table.layers[1], np.concatenate([c.layers[0] for c in detector.embed(GOOD)])
    )


def test_the_store_tells_clips_with_and_without_the_subtraction_apart(tmp_path):
    store = EmbeddingStore(tmp_path)
    scores = [
        Detector(channel=channel).fit(NORMAL, store=store).training_scores_
        for channel in (0, "near-far", 0)
    ]
    assert scores[0].tobytes() == scores[2].tobytes() != scores[1].tobytes()


@pytest.mark.parametrize("channel", ["mean", 0])
def test_noise_for_another_channel_is_refused_before_a_clip_is_read(channel):
    with pytest.raises(ParameterError, match=r"far_noise with channel .*leave far_noise out"):
        Detector(channel=channel, far_noise=NOISE).fit(NORMAL)


def test_noise_that_cannot_be_used_is_refused_in_one_line(tmp_path):
    mono = [(np.ones(RATE) * 0.1, RATE)]
    with pytest.raises(SoundError, match="array 0: has one channel, and near minus far needs two"):
        Detector(channel="near-far", far_noise=mono).fit(NORMAL)
    with pytest.raises(DatasetError, match="needs WAV"):
        Detector(channel="near-far", far_noise=tmp_path).fit(NORMAL)


def test_other_noise_is_fitted_anew_and_the_same_noise_is_not():
    detector = Detector(channel="near-far", far_noise=NOISE[:2])
    first = detector.embedding_settings().channel
    assert detector.embedding_settings().channel is first
    detector.far_noise = NOISE[2:]
    assert detector.embedding_settings().channel != first
