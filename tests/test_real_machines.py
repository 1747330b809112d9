"""The embedded system on recordings of four real machines, one setting for all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from firstshot.dcase.data.layout import read_layout
from firstshot.dcase.running.run import run_system
from firstshot.dcase.running.section import join_section, score_section
from firstshot.dcase.running.system import load_system
from firstshot.report.table import overall_metrics
from firstshot.store import EmbeddingStore

RECORDINGS = Path(__file__).resolve().parents[1] / ".." / "shared" / "data" / "real_machines"
# What a plain log-mel mean + deviation nearest-neighbour system reaches on the same clips, percent.
PLAIN = {
    "none": 76.5,
    "domain_zscore": 76.6,
    "local_density": 75.8,
    "domain_local_density": 69.2,
}

pytestmark = pytest.mark.skipif(
    not RECORDINGS.is_dir(), reason="the recordings of real machines are not beside this checkout"
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return EmbeddingStore(tmp_path_factory.mktemp("store"))


def official_score(store, out, normalizer=None):
    """The official score in percent, harmonic mean over the four machines."""
    system = load_system("embedded")
    system = system.changed({"normalizer": normalizer}) if normalizer else system
    run = run_system(RECORDINGS, system, out / "out", store=store)
    assert run.failures == {}
    assert len(run.results) == 4
    return 100 * overall_metrics(run.results)["official_score"]


@pytest.mark.parametrize("normalizer", sorted(set(PLAIN) - {"domain_local_density"}))
def test_embedded_is_above_plain_log_mel_with_the_same_normaliser(store, tmp_path, normalizer):
    assert official_score(store, tmp_path, normalizer) > PLAIN[normalizer]


def test_embedded_reaches_83_percent_by_default(store, tmp_path):
    assert load_system("embedded").normalizer == "domain_local_density"
    assert official_score(store, tmp_path) >= 83 > PLAIN["domain_local_density"]


@pytest.mark.parametrize("normalizer", ["local_density", "domain_local_density"])
def test_a_bank_in_float16_keeps_the_ranking_of_every_machine(store, normalizer):
    system = load_system("embedded").changed({"normalizer": normalizer})
    for section in read_layout(RECORDINGS):
        metrics = {}
        for precision in ("float32", "float16"):
            detector = system.detector(system.encoders[0])
            detector.bank_precision = precision
            heard = score_section(section, detector, store)
            metrics[precision] = join_section(section, system, [heard], examples=0).metrics
        for name in ("auc_source", "auc_target", "pauc"):
            assert metrics["float16"][name] == pytest.approx(metrics["float32"][name], abs=0.002)
