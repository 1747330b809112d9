"""A fuzz run: workers are started, watched and replaced, and what escaped is kept and counted."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

LIMIT = 30.0
"""Seconds that one input may take before it counts as endless; twice that, and it is killed."""
START_SECONDS = 120.0
ROOT = Path(__file__).parents[2]


@dataclass
class Escape:
    """A kind of fault, at one place: the inputs that showed it, and where the first is kept."""

    kind: str
    target: str
    text: str
    numbers: list[int] = field(default_factory=list)
    folder: Path | None = None


@dataclass
class Report:
    """What a run did: inputs by target, and the distinct escapes by kind and place."""

    inputs: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    escapes: dict[str, Escape] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Number of inputs."""
        return sum(self.inputs.values())


@dataclass
class Run:
    """The settings of a run; `seconds` ends it early, `targets` are names, none means all."""

    samples: Path
    scratch: Path
    kept: Path
    seed: int = 0
    first: int = 0
    inputs: int = 1000
    seconds: float = float("inf")
    limit: float = LIMIT
    targets: Sequence[str] = ()

    def __call__(self, tell: Callable[[str], None] = print) -> Report:
        """Run all inputs and return what escaped."""
        report, number, end = Report(), self.first, self.first + self.inputs
        until = time.monotonic() + self.seconds
        while number < end and time.monotonic() < until:
            number = self._watch(number, end, until, report, tell)
        return report

    def _watch(
        self, first: int, end: int, until: float, report: Report, tell: Callable[[str], None]
    ) -> int:
        """Start a worker and follow it to its end; return the number to go on with."""
        began, target, note, wait = first - 1, "the start", {}, START_SECONDS
        errors = self.scratch / "errors.txt"
        with _worker(self, first, end, errors) as (process, lines):
            while True:
                line = lines.read(min(wait, max(0.0, until - time.monotonic())))
                if line is None and time.monotonic() >= until:
                    process.kill()
                    return end
                if line is None:
                    process.kill()
                    fault = {"kind": f"killed: endless ({target})"}
                    self._keep(report, began, target, fault, note, tell)
                    return began + 1
                told = json.loads(line or "{}")
                if "begin" in told:
                    began, target, note = told["begin"], told["target"], {}
                    wait = 2 * self.limit
                    report.inputs[target] = report.inputs.get(target, 0) + 1
                elif "note" in told:
                    note = told["note"]
                elif "took" in told:
                    report.seconds[target] = report.seconds.get(target, 0.0) + told["took"]
                elif "fault" in told:
                    self._keep(report, began, target, told["fault"], note, tell)
                elif "end" in told:
                    return end
                else:  # the pipe was closed
                    status = process.wait()
                    if status not in (0, 3):
                        last = errors.read_text(errors="replace")[-1500:]
                        fault = {"kind": f"killed: status {status} ({target})", "text": last}
                        self._keep(report, began, target, fault, note, tell)
                    if began < first:
                        raise RuntimeError(f"no worker starts: {errors.read_text()[-3000:]}")
                    return began + 1

    def _keep(
        self, report: Report, number: int, target: str, fault: dict[str, str],
        note: dict[str, Any], tell: Callable[[str], None],
    ) -> None:  # fmt: skip
        """Count an escape; of a new one, keep the input and the traceback."""
        kind = fault["kind"]
        known = report.escapes.setdefault(kind, Escape(kind, target, fault.get("text", "")))
        known.numbers.append(number)
        source = self.scratch / f"input-{number}"
        if known.folder is not None:
            shutil.rmtree(source, ignore_errors=True)
            return
        known.folder = self.kept / re.sub(r"\W+", "-", kind)[:100].strip("-")
        shutil.rmtree(known.folder, ignore_errors=True)
        known.folder.mkdir(parents=True)
        # A worker that was killed had no time to put its input aside.
        _copy_input(
            source if source.exists() else self.scratch / "outer" / "case", known.folder / "input"
        )
        about = {"seed": self.seed, "number": number, "target": target, **fault, "note": note}
        text = json.dumps(about, indent=2, default=repr)
        (known.folder / "about.json").write_text(text, encoding="utf-8", errors="backslashreplace")
        tell(f"escape: {kind} [{target}, number {number}]: {known.folder}")


def _copy_input(source: Path, place: Path) -> None:
    """Keep the files of an input; pipes and links are left out."""
    for path in source.rglob("*") if source.is_dir() else ():
        if path.is_file() and not path.is_symlink():
            target = place / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)


class _Lines:
    """Reads lines of a pipe with a limit on the wait."""

    def __init__(self, pipe: int) -> None:
        self._pipe, self._rest = pipe, b""

    def read(self, seconds: float) -> str | None:
        """Return the next line, "" at the end, None where nothing came in time."""
        until = time.monotonic() + seconds
        while b"\n" not in self._rest:
            if not select.select([self._pipe], [], [], max(0.0, until - time.monotonic()))[0]:
                return None
            chunk = os.read(self._pipe, 1 << 16)
            if not chunk:
                return ""
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()


class _worker:  # noqa: N801
    """Start a worker process with a pipe to hear it by; ends it on leaving."""

    def __init__(self, run: Run, first: int, end: int, errors: Path) -> None:
        run.scratch.mkdir(parents=True, exist_ok=True)
        self._task = {
            "seed": run.seed, "first": first, "last": end, "limit": run.limit,
            "samples": str(run.samples), "scratch": str(run.scratch), "targets": list(run.targets),
        }  # fmt: skip
        self._errors = errors

    def __enter__(self) -> tuple[subprocess.Popen[bytes], _Lines]:
        self._reading, writing = os.pipe()
        command = [
            sys.executable,
            "-m",
            "tests.fuzz.worker",
            json.dumps({**self._task, "pipe": writing}),
        ]
        bounded = {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1"}
        errors: IO[bytes]
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **bounded}, pass_fds=[writing],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
            )  # fmt: skip
        os.close(writing)
        return self._process, _Lines(self._reading)

    def __exit__(self, *_: object) -> None:
        os.close(self._reading)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
