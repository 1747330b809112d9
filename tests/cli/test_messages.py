"""What a message advises exists where its reader stands: commands, options and values."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

import firstshot
from firstshot.cli import app
from firstshot.dcase.running.system import System
from firstshot.encoders.pooling import POOLINGS
from firstshot.scoring.normalizers import NORMALIZERS
from firstshot.scoring.search.vectors import METRICS
from firstshot.scoring.threshold import METHODS
from firstshot.sound.audio import LengthPolicy

SOURCE = Path(firstshot.__file__).parent
DOCUMENTS = [SOURCE.parents[1] / "README.md", *sorted((SOURCE.parents[1] / "docs").rglob("*.md"))]
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z]")
COMMAND = re.compile(r"firstshot((?: [a-z]+)+)([^`]*)")
READERS = {
    "dcase/data/download.py": {"dcase download"},
    "dcase/data/resume.py": {"dcase download"},
    "dcase/data/zenodo.py": {"dcase download"},
    "dcase/data/archives.py": {"dcase download"},
    "dcase/data/unpack.py": {"dcase download"},
    "dcase/running/run.py": {"dcase run"},
    "dcase/running/run_folder.py": {"dcase run", "dcase sweep"},
    "dcase/sweeping/sweep.py": {"dcase sweep"},
    "dcase/submitting/meta_yaml.py": {"dcase submit"},
    "dcase/submitting/submit.py": {"dcase submit"},
    "deploy/export.py": {"export"},
}
"""Of modules that one command alone leads to; any other message may reach whoever fits."""
FITTING = {"fit", "dcase run"}


def commands(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every command by the words that call it."""
    for name, command in group.commands.items():
        yield f"{before}{name}", command
        if hasattr(command, "commands"):
            yield from commands(command, f"{before}{name} ")


ROOT = typer.main.get_command(app)
BY_NAME = dict(commands(ROOT))


def options(command: Any) -> set[str]:
    return {word for parameter in command.params for word in parameter.opts} | {"--help"}


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield all strings of a module with their lines; what is filled in stands as a letter X."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    filled = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    inner = {id(part) for node in filled for part in ast.walk(node)}
    for node in filled:
        parts = [part.value if isinstance(part, ast.Constant) else "X" for part in node.values]
        yield node.lineno, "".join(map(str, parts))
    for node in ast.walk(tree):
        plain = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if plain and id(node) not in inner:
            yield node.lineno, node.value


MESSAGES = [
    (path.relative_to(SOURCE).as_posix(), line, text)
    for path in sorted(SOURCE.rglob("*.py"))
    for line, text in texts(path)
]


def readers(module: str) -> set[str]:
    """Return the commands whose users may read a module's messages."""
    if module in READERS:
        return READERS[module]
    place = f"firstshot.{module.removesuffix('.py').replace('/', '.')}"
    own = {
        name
        for name, command in BY_NAME.items()
        if getattr(command.callback, "__module__", "") == place
    }
    return own or set(BY_NAME)


def called(text: str) -> Iterator[tuple[str, str]]:
    """Yield the commands that a text names, with what follows each."""
    for found in COMMAND.finditer(text):
        words = found[1].split()
        first = BY_NAME.get(words[0])
        two = hasattr(first, "commands") or " ".join(words[:2]) in BY_NAME
        yield " ".join(words[: 1 + two]), found[0]


def test_the_messages_are_found_at_all():
    assert sum("--overwrite" in text for _, _, text in MESSAGES) >= 3
    assert sum("`firstshot " in text for _, _, text in MESSAGES) > 20
    assert {"fit", "dcase run", "encoders fetch", "store prune"} <= set(BY_NAME)


def test_every_option_that_a_message_names_is_one_of_a_command_its_reader_uses():
    for module, line, text in MESSAGES:
        known = options(ROOT).union(*(options(BY_NAME[name]) for name in readers(module)))
        for _, whole in called(text):
            text = text.replace(whole, "")
        unknown = set(OPTION.findall(text)) - known
        assert not unknown, f"{module}:{line}: {unknown}"


@pytest.mark.parametrize(
    "module", ["messages", *DOCUMENTS], ids=lambda page: getattr(page, "name", page)
)
def test_every_command_that_a_text_gives_exists_and_takes_the_options_beside_it(module):
    """In backticks in messages and documents, and in a document's shell examples."""
    if module == "messages":
        given = [
            (f"{module}:{line}", quoted)
            for module, line, text in MESSAGES
            for quoted in re.findall(r"`(firstshot [^`]*)`|Example: (firstshot .*)", text)
        ]
        lines = [(place, quoted or example) for place, (quoted, example) in given]
    else:
        text = module.read_text(encoding="utf-8").replace("\\\n", " ")
        shell = "\n".join(re.findall(r"```(?:sh)?\n(.*?)```", text, re.S))
        lines = [(module, line) for line in re.findall(r"^firstshot [^\n#|&]*", shell, re.M)]
        lines += [(module, line) for line in re.findall(r"`(firstshot [^`|]*)`", text)]
    for place, line in lines:
        for name, _ in called(line):
            command = BY_NAME.get(name) or BY_NAME.get(name.split()[0])
            assert command is not None, f"{place}: {line}"
            unknown = set(OPTION.findall(line)) - options(command)
            assert not unknown, f"{place}: {name} has no {unknown}"


VALUES = {
    "normaliser": ("--normalizer", NORMALIZERS),
    "threshold method": ("--threshold", METHODS),
    "metric": ("--metric", METRICS),
    "pooling": ("--pooling", POOLINGS),
    "length policy": ("--length", ("windows", "fixed", "native")),
}
"""What messages tell people to use, by which option of some command, and what there is of it."""
ADVICE = re.compile(r"\b(?:use|choose|fit with|with|or) the ([a-z]+(?: method| policy)?) ([a-z_]+)")


def test_every_value_that_a_message_advises_exists_and_has_an_option():
    advised = [
        (f"{module}:{line}", what, value)
        for module, line, text in MESSAGES
        for what, value in ADVICE.findall(text)
        if what in VALUES or what in ("transform", "method")
    ]
    assert len(advised) >= 6
    for place, what, value in advised:
        option, known = VALUES.get(what, ("", ()))
        assert value in known, f"{place}: {what} {value}"
        assert any(option in options(command) for command in BY_NAME.values()), place


def test_the_threshold_method_that_fitting_advises_is_an_option_wherever_clips_are_fitted():
    for command in FITTING:
        assert "--threshold" in options(BY_NAME[command])
    assert set(METHODS) <= set(System.model_fields["threshold"].annotation.__args__)
    assert LengthPolicy.parse("windows:1").kind == "windows"
