"""Every option and argument of every command, with values that nobody should give.

The options are collected from the program itself, so that a new one is covered unasked. `WORDS`
says how each command is started so that it has something small to work on; a command that is not
there is started with odd values alone.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.fuzz.cases import Case, StatusError, target
from tests.fuzz.mutations import NUMBER_TEXTS, TEXTS
from tests.fuzz.wire import answering

WORDS = {
    "demo": "--out demo -q",
    "synth": "made --machine SynthFan --seconds 0.2 --source 1 --target 0 --test 0",
    "fit": "data/fan/train --out new.firstshot --store store --overwrite",
    "score": "detectors/plain.firstshot data/fan/test --page page.html --overwrite",
    "explain": "detectors/plain.firstshot clip.wav",
    "calibrate": "detectors/plain.firstshot --out new.firstshot",
    "export": "detectors/plain.firstshot --out bundle",
    "bench": "--encoder logmel --clips 1 --seconds 0.2",
    "encoders": "",
    "encoders fetch": "ced_tiny",
    "store info": "--store store",
    "store prune": "--store store",
    "dcase check": "data",
    "dcase run": "data --out run --store store --overwrite",
    "dcase evaluate": "run --truth truth",
    "dcase show": "run",
    "dcase compare": "run",
    "dcase sweep": "data --encoder logmel --normalizer none --metric euclidean --store store",
    "dcase submit": "run --out submission.zip --overwrite",
    "dcase reproduce": "--year 2020 --machine fan --api http://records.invalid -o d --dry-run",
    "dcase download": "--year 2020 --part dev --machine fan --api http://records.invalid --out d",
}
HEAVY = {"demo": 0.1, "bench": 0.05}
"""Commands that take seconds even on next to nothing, and the share of their turns they get."""
PATHS = (
    "missing",
    "missing/deeper",
    "a_file",
    "a_folder",
    "empty",
    "a_pipe",
    "a_loop",
    "a_link",
    ".",
)
VARIABLES = {
    "FIRSTSHOT_CACHE": ("a_file", "a_folder", "relative/cache", "a" * 300, "/dev/null", ""),
    "XDG_CACHE_HOME": ("a_file", "relative", "", "/dev/null"),
    "HOME": (None, "", "missing", "a_file"),
    "MPLBACKEND": ("module://matplotlib_inline.backend_inline", "nonsense", "tkagg", "", "²"),
    "HF_HUB_OFFLINE": ("1", "²", "no"),
    "HF_TOKEN": ("a\nb", "é", "\udcff", "x" * 5000, ""),
    "HF_ENDPOINT": ("http://[", "nonsense", "ftp://x", "http://x:²/", "http://hub.invalid"),
}
"""Values that suit a variable; what other variables the package reads, `variables` finds."""
_READ = re.compile(r"""environ(?:\.get\(|\[)\s*["'](\w+)|envvar="(\w+)""")


@dataclass(frozen=True)
class Parameter:
    """An option by its longest name, or an argument, whose name is empty."""

    name: str
    flag: bool


@cache
def commands() -> dict[str, tuple[Parameter, ...]]:
    """Return the parameters of every command by its words, as `dcase run`."""
    import typer

    from firstshot.cli import app

    return dict(_walk(typer.main.get_command(app), ()))


def _walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, tuple[Parameter, ...]]]:
    inner = getattr(command, "commands", {})
    if words and (not inner or command.invoke_without_command):
        yield " ".join(words), tuple(_parameter(each) for each in command.params)
    for name, each in inner.items():
        yield from _walk(each, (*words, name))


def _parameter(parameter: Any) -> Parameter:
    option = parameter.param_type_name == "option"
    name = max(parameter.opts, key=len) if option else ""
    return Parameter(name, bool(getattr(parameter, "is_flag", False)))


@cache
def variables() -> tuple[str, ...]:
    """Return the environment variables that the package reads, found in its source."""
    import firstshot

    sources = Path(firstshot.__file__).parent.rglob("*.py")
    found = {name for path in sources for pair in _READ.findall(path.read_text()) for name in pair}
    return tuple(sorted((found | VARIABLES.keys()) - {""}))


def odd_words(case: Case) -> list[str]:
    """Return the words of a command, one or two of whose values are odd."""
    dice = case.dice
    name = dice.choice(sorted(commands()))
    while dice.random() > HEAVY.get(name, 1.0):
        name = dice.choice(sorted(commands()))
    usual = WORDS.get(name, "").split()
    for _ in range(dice.choice((1, 1, 1, 2))):
        parameter = dice.choice([*commands()[name], Parameter("", False)])
        if parameter.flag:
            usual.append(parameter.name)
        elif parameter.name:
            usual += [parameter.name, _odd_word(case)]
        else:
            places = [i for i, word in enumerate(usual) if word[0] != "-"][:2]
            if places and dice.random() < 0.7:
                usual[dice.choice(places)] = _odd_word(case)
            else:
                usual.append(_odd_word(case))
    return [*name.split(), *usual]


def _odd_word(case: Case) -> str:
    pick = case.dice.random()
    if pick < 0.5:
        return case.dice.choice(NUMBER_TEXTS)
    if pick < 0.65:
        prefix = case.dice.choice(("fixed:", "windows:", "windows:1:", "1,", "-", "logmel="))
        return prefix + case.dice.choice(NUMBER_TEXTS)
    if pick < 0.8:
        return case.dice.choice(PATHS)
    return case.dice.choice([text for text in TEXTS if text])


def odd_environment(case: Case, share: float) -> dict[str, str | None]:
    """Return a variable or two with odd values; None stands for a variable that is not set."""
    if case.dice.random() > share:
        return {}
    names = case.dice.sample(variables(), case.dice.choice((1, 1, 2)))
    return {
        name: case.dice.choice((*VARIABLES.get(name, ()), *NUMBER_TEXTS, "a_file", "missing"))
        for name in names
    }


def prepare_folder(case: Case) -> None:
    """Link the samples into the case's folder, and put odd things beside them."""
    for name in ("data", "detectors", "run", "store", "truth", "sweep"):
        shutil.copytree(case.samples / name, name, copy_function=os.link)
    # What is opened for writing must be a copy: a link would change the samples themselves.
    for path in (*Path("run").iterdir(), *Path("detectors").iterdir()):
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    shutil.copy(next(Path("data/fan/test").glob("*.wav")), "clip.wav")
    Path("a_file").write_text("not what is looked for\n")
    Path("empty").touch()
    Path("a_folder").mkdir()
    os.mkfifo("a_pipe")
    Path("a_loop").symlink_to("a_loop")
    Path("a_link").symlink_to("nowhere")


@target("command line", 60)
def run_command(case: Case) -> None:
    """Run a command in this process."""
    from firstshot.cli import Leave, app

    prepare_folder(case)
    words, environment = odd_words(case), odd_environment(case, 0.2)
    case.remember(words=words, environment=environment)
    _set(environment)
    output = io.StringIO()
    with answering(case, []), redirect_stdout(output), redirect_stderr(output):
        try:
            app(words)
        except Leave as leave:
            if leave.status == 1 and "--fail-on-anomaly" not in words:
                raise
        except OSError as error:
            if error.filename is None:  # else `firstshot.cli.main` names the file and the reason
                raise


def _set(environment: dict[str, str | None]) -> None:
    for name, value in environment.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@target("process", 1)
def run_process(case: Case) -> None:
    """Run a command as a user does: streams, environment and exit status are the real ones."""
    prepare_folder(case)
    words = odd_words(case)
    while words[:2] in (["encoders", "fetch"], ["dcase", "download"]):
        words = odd_words(case)  # a process of its own could reach the network
    environment = odd_environment(case, 0.8)
    case.remember(words=words, environment=environment)
    _set(environment)
    done = subprocess.run(
        [sys.executable, "-m", "firstshot", *words],
        capture_output=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    told = done.stderr.decode("utf-8", "replace")
    good = (0, 1, 2) if "--fail-on-anomaly" in words else (0, 2)
    if done.returncode not in good or "Traceback" in told or "a fault in firstshot" in told:
        last = told.strip().splitlines()[-1:] or [""]
        case.remember(standard_error=told[-2000:])
        raise StatusError(f"status {done.returncode}: {last[0][:200]}")
