"""Free memory is the least that machine, container and process still allow."""

from __future__ import annotations

import subprocess
import sys

import pytest

from firstshot import memory


def test_a_containers_limit_counts_and_files_in_memory_are_given_up(tmp_path, monkeypatch):
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("4000\n")
    (tmp_path / "memory.stat").write_text("anon 1000\ninactive_file 2500\n")
    pair = (str(tmp_path / "memory.max"), str(tmp_path / "memory.current"))
    monkeypatch.setattr(memory, "_CGROUPS", (pair,))
    assert memory.free_memory() == 3500
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._of_container(*pair) is None


def test_a_system_that_does_not_tell_gives_none(monkeypatch):
    def no_files(path):
        raise FileNotFoundError(path)

    monkeypatch.setattr(memory, "_lines", no_files)
    assert memory.free_memory() is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits are told by /proc")
def test_the_processes_own_limit_counts():
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (300 << 20, 300 << 20));"
        "from firstshot.memory import free_memory; print(free_memory())"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert 0 < int(found) < 300 << 20
