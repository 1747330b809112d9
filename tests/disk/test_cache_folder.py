"""Where caches lie, also for a user who has no home folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from firstshot.cli.options import open_store
from firstshot.disk.cache_folder import cache_folder, user_cache_folder
from firstshot.encoders.runtimes.measured import keep_measured, read_measured
from firstshot.encoders.weights.cache import read_pointer
from firstshot.encoders.weights.catalog import ENCODERS
from firstshot.encoders.weights.hub import find_in_hub_cache
from firstshot.errors import OutputError
from firstshot.store import default_store_folder


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    for name in ("FIRSTSHOT_CACHE", "XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))


@pytest.fixture
def homeless(monkeypatch):
    """A user id that the system does not know, as a container may run as."""

    def raises() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", raises)


def test_caches_lie_where_the_environment_says(monkeypatch, tmp_path):
    assert cache_folder() == tmp_path / ".cache" / "firstshot"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "firstshot"
    monkeypatch.setenv("FIRSTSHOT_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


@pytest.mark.parametrize("told", ["", "relative/cache", "."])
def test_a_relative_xdg_cache_home_is_ignored_as_its_specification_asks(
    monkeypatch, tmp_path, told
):
    monkeypatch.setenv("XDG_CACHE_HOME", told)
    assert cache_folder() == tmp_path / ".cache" / "firstshot"


def test_a_home_that_is_no_absolute_path_holds_no_cache(monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: Path())
    assert user_cache_folder() is None


@pytest.mark.usefixtures("homeless")
def test_a_user_without_a_home_is_told_what_to_set():
    with pytest.raises(OutputError, match=r"no home folder.*set FIRSTSHOT_CACHE to a folder"):
        default_store_folder()


@pytest.mark.usefixtures("homeless")
def test_a_user_without_a_home_works_without_caches(capsys):
    assert open_store(None, no_store=False) is None
    assert "embeddings are not kept, name a folder with --store" in capsys.readouterr().err
    assert read_pointer(ENCODERS["ced_tiny"]) is None
    keep_measured("runtime_errors", "key", 1.0)
    assert read_measured("runtime_errors") == {}
    file = ENCODERS["ced_tiny"].file()
    assert file is not None and find_in_hub_cache(file) is None


def test_a_cache_folder_that_is_a_file_costs_a_warning(monkeypatch, tmp_path, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("FIRSTSHOT_CACHE", str(tmp_path / "file"))
    assert open_store(None, no_store=False) is None
    assert "cannot be made" in capsys.readouterr().err
