"""Measurements of this machine are kept with a digest; what was altered is measured again."""

from __future__ import annotations

import pytest

from firstshot.encoders.runtimes.measured import keep_measured, measured_file, read_measured
from firstshot.errors import FirstshotWarning


@pytest.fixture(autouse=True)
def _cache(monkeypatch, tmp_path):
    monkeypatch.setenv("FIRSTSHOT_CACHE", str(tmp_path))


def test_values_are_kept_by_key():
    keep_measured("errors", "a", 1e-6)
    keep_measured("errors", "b", 2e-6)
    assert read_measured("errors") == {"a": 1e-6, "b": 2e-6}
    assert read_measured("choices") == {}


def test_an_altered_value_is_set_aside_and_not_believed():
    keep_measured("errors", "a", 1e-6)
    path = measured_file("errors")
    path.write_text(path.read_text().replace("1e-06", "0.5"))
    with pytest.warns(FirstshotWarning, match="digest differs.*measured again"):
        assert read_measured("errors") == {}
    assert path.with_name("errors.json.damaged").exists()
