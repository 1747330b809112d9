"""Every code block of the README and the documentation runs, or says why it cannot.

A page's ``sh`` and ``python`` blocks run in order, in one folder with a few recordings and a small
data set. A block that cannot run (it needs the network, minutes, or another machine) has the line
``<!-- not run: REASON -->`` before it. Every name of the package and every file that a page names
is there.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from firstshot.scoring.normalizers import ENTRY_POINT_GROUP
from firstshot.sound.synth.dataset import write_dataset

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    path
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "SECURITY.md",
        ROOT / "CODE_OF_CONDUCT.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    )
    if path.exists()
]
RUN = ("sh", "python")
SHOWN = ("text", "toml", "json", "html")
FENCE = re.compile(
    r"(?:<!-- not run: (?P<reason>[^\n]+?) -->\n\n?)?```(?P<kind>\w*)\n(?P<code>.*?)^```$",
    re.S | re.M,
)
NAME = re.compile(r"(?<![\w/.])firstshot(?:\.[A-Za-z_]\w*)+")
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")
UNREACHABLE = "http://127.0.0.1:9"  # a proxy that is not there: what respects one has no network
INDENTED = re.compile(r"(?:\n\n|\A)    (?:firstshot|pip|python|import|from|make|\.venv)\b[^\n]*")


@dataclass(frozen=True)
class Block:
    """A fenced block: what it is written in, its text, its line, and why it does not run."""

    kind: str
    code: str
    line: int
    reason: str | None


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(m["kind"], m["code"], text.count("\n", 0, m.start("code")) + 1, m["reason"])
        for m in FENCE.finditer(text)
    ]


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


pytestmark = pytest.mark.skipif(len(PAGES) < 5, reason="the documentation is not part of this copy")


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_block_says_what_it_is_and_none_hides_in_an_indent(page):
    for block in blocks_of(page):
        assert block.kind in (*RUN, *SHOWN), f"{named(page)}:{block.line}"
        assert block.reason is None or len(block.reason.split()) >= 3, f"{named(page)}:{block.line}"
    outside = FENCE.sub("", page.read_text(encoding="utf-8"))
    assert not INDENTED.search(outside), f"{named(page)}: use a fenced block"
    assert "```" not in outside and "~~~" not in outside, f"{named(page)}: a fence that is not read"


def is_there(name: str) -> bool:
    """Say whether a dotted name is a module, or a member of one."""
    owner, _, member = name.rpartition(".")
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        return bool(owner) and is_there(owner) and hasattr(pkgutil.resolve_name(owner), member)
    return True


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_name_and_every_file_on_a_page_is_there(page):
    text = page.read_text(encoding="utf-8")
    names = {m[0] for m in NAME.finditer(text)} - {ENTRY_POINT_GROUP}
    assert sorted(name for name in names if not is_there(name)) == []
    links = set(LINK.findall(text))
    assert sorted(link for link in links if not (page.parent / link).exists()) == []


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """A folder with recordings of one machine, and a data set of one machine."""
    folder = tmp_path_factory.mktemp("docs")
    data, of_2025 = folder / "data", folder / "data/dcase2025t2/dev_data/raw"
    write_dataset(data, ["SynthFan"], 0, 1.0, train_source=24, train_target=10, test_per_class=4)
    machine = data / "SynthFan"
    shutil.copytree(machine, of_2025 / "SynthFan")
    for name, pattern in {
        "normal": "train/*source*",
        "high_speed": "train/*target*",
        "today": "test/*source*",
        "held_out": "test/*normal*",
    }.items():
        (folder / name).mkdir()
        for number, clip in enumerate(sorted(machine.glob(f"{pattern}.wav"))):
            day = "later_" if name == "held_out" else ""
            shutil.copy(clip, folder / name / f"{day}{number:04}.wav")
    return folder


def runnable(page: Path) -> list[Block]:
    return [block for block in blocks_of(page) if block.kind in RUN and block.reason is None]


@pytest.mark.parametrize("page", [page for page in PAGES if runnable(page)], ids=named)
def test_the_blocks_of_a_page_run_in_order(page, prepared, tmp_path):
    folder = tmp_path / "page"
    shutil.copytree(prepared, folder)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "FIRSTSHOT_CACHE": str(tmp_path / "cache"),
        "HF_HUB_OFFLINE": "1",
        **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), UNREACHABLE),
        "COLUMNS": "120",
    }
    for block in runnable(page):
        shell = ["bash", "-euo", "pipefail", "-c"] if block.kind == "sh" else [sys.executable, "-c"]
        done = subprocess.run(
            [*shell, block.code], cwd=folder, env=environment, capture_output=True, text=True
        )
        told = f"{named(page)}:{block.line}\n{block.code}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == 0, told
        assert "Traceback" not in done.stderr, told
