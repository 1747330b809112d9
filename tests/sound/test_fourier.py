"""The quick way to scipy's transform is scipy's transform."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import scipy.fft

from firstshot.sound import fourier

QUICK = """
import sys
import numpy as np
from firstshot.sound.fourier import load_rfft
rows = np.random.default_rng(0).standard_normal((5, 400)).astype(np.float32)
quick = load_rfft()(rows)
assert "scipy.fft" not in sys.modules and "scipy.special" not in sys.modules
import scipy.fft
assert np.array_equal(quick, scipy.fft.rfft(rows, axis=1))
assert np.allclose(scipy.fft.ifft(scipy.fft.fft(rows)).real, rows, atol=1e-5)
"""


def test_the_compiled_transform_is_loaded_alone_and_scipy_goes_on_with_it():
    done = subprocess.run(
        [sys.executable, "-c", QUICK], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("samples", [7, 400, 512, 1024, 2048])
@pytest.mark.parametrize("rows", [1, 128])
def test_both_ways_give_the_same_bits(samples, rows):
    frames = np.random.default_rng(1).standard_normal((rows, samples)).astype(np.float32)
    expected = scipy.fft.rfft(frames, axis=1)
    assert expected.dtype == np.complex64
    for transform in (fourier.load_rfft(), fourier._of_compiled(fourier._compiled_module())):
        found = transform(frames)
        assert found.dtype == np.complex64
        assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    "module",
    [
        object(),
        type("Other", (), {"r2c": staticmethod(lambda a, b: a)}),
        type("Other", (), {"r2c": staticmethod(lambda a, *_: a)}),
    ],
)
def test_a_scipy_that_is_built_otherwise_is_imported_whole(monkeypatch, module):
    monkeypatch.delitem(sys.modules, "scipy.fft")
    monkeypatch.setattr(fourier, "_compiled_module", lambda: module)
    rows = np.ones((1, 4), dtype=np.float32)
    assert fourier.load_rfft()(rows).real.tolist() == [[4.0, 0.0, 0.0]]
