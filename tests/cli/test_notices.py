"""Library code logs and warns; the command line prints both on standard error."""

from __future__ import annotations

import ast
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from firstshot.log import logger

SOURCE = Path(__file__).parents[2] / "src" / "firstshot"
PROGRAM = """
import sys
from firstshot.cli import main, app
from firstshot.cli.options import Quiet
from firstshot.errors import warn
from firstshot.log import logger

@app.command()
def work(quiet: Quiet = False) -> None:
    logger.debug("weights found")
    logger.info("fetching \x1b[31m20 MB")
    logger.warning("trying again in 5 s")
    warn("digital silence")
    print("done")

main()
"""


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True)


INFO = "fetching \\x1b[31m20 MB"
WARNINGS = ["warning: trying again in 5 s", "warning: digital silence"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["work"], [INFO, *WARNINGS]),
        (["work", "-q"], WARNINGS),
        (["-v", "work"], ["weights found", INFO, *WARNINGS]),
    ],
)
def test_the_log_is_printed_on_standard_error_as_far_as_the_user_asks(
    words: list[str], expected: list[str]
) -> None:
    done = run(*words)
    assert done.stdout == "done\n"
    assert done.stderr.splitlines() == expected


def test_a_program_that_imports_the_package_hears_nothing_unless_it_asks(
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = [handler for handler in logger.handlers if isinstance(handler, logging.NullHandler)]
    assert own
    monkeypatch.setattr(logger, "handlers", own)  # a command that ran before has added its own
    with caplog.at_level("INFO", "firstshot"):
        logger.info("fetching 20 MB")
    assert caplog.messages == ["fetching 20 MB"]
    assert capsys.readouterr() == ("", "")


def test_only_the_command_line_prints() -> None:
    def prints(node: ast.AST) -> bool:
        called: Any = node.func if isinstance(node, ast.Call) else None
        name = getattr(called, "id", None) or getattr(called, "attr", None)
        return name in ("print", "echo")

    found = {
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        if path.relative_to(SOURCE).parts[0] != "cli"
        and any(map(prints, ast.walk(ast.parse(path.read_text()))))
    }
    # deploy/benchmark.py prints in a process of its own, whose output its parent reads.
    assert found <= {"deploy/benchmark.py", "encoders/weights/find.py"}
