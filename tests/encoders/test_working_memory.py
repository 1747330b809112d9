"""The memory for one piece: linear where it is cut, with the square of the tokens where not."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from firstshot.encoders.joint import JointEncoder
from firstshot.encoders.logmel import LogMel
from firstshot.encoders.specs import SPECS
from firstshot.encoders.spectra import Spectra
from firstshot.encoders.working_memory import working_bytes

SECOND = 16000


def encoder(name):
    spec = SPECS[name]
    return SimpleNamespace(spec=spec, grid=spec.grid, depth=spec.depth)


@pytest.mark.parametrize("name", ["ced_tiny", "m2d_clap", "efficientat_mn04"])
def test_an_encoder_that_cuts_its_spectrogram_grows_with_the_length(name):
    ten, twenty = (working_bytes(encoder(name), n * 600 * SECOND) for n in (1, 2))
    assert twenty < 2.01 * ten


def test_attention_over_ten_minutes_grows_with_the_square():
    ten, twenty = (working_bytes(encoder("beats_ft1"), n * 600 * SECOND) for n in (1, 2))
    assert twenty > 3.5 * ten
    tokens = 600 * 100 // 16 * 8
    assert ten > 4 * 12 * tokens**2


def test_ten_minutes_of_a_convolutional_network_hold_its_largest_stage():
    bytes_held = working_bytes(encoder("efficientat_mn04"), 600 * 32000)
    # Its third stage expands 8 channels to 24 on a grid of 30,000 x 64.
    assert 4 * 24 * 30000 * 64 < bytes_held < 4e9


def test_an_hour_of_log_mel_fits_into_a_gigabyte():
    # 0.45 GB were measured.
    assert 0.45e9 < working_bytes(LogMel(), 3600 * SECOND) < 1e9


def test_of_joined_encoders_the_one_that_takes_most_counts():
    joint = JointEncoder([LogMel(), Spectra()])
    assert working_bytes(joint, 160000) == working_bytes(Spectra(), 160000)
