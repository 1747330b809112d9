"""The process that runs the inputs: bounded in memory, in time, and cut off from every network.

It tells what it does on a pipe, a JSON object a line, so that whoever watches knows which input it
was that killed it. A new worker goes on behind that input.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import shutil
import signal
import socket
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any, NoReturn

from tests.fuzz.cases import Case, choose_target, fault_of

MEMORY = 2 << 30
"""Bytes that an input may take beyond what the libraries have taken before the first."""
ENVIRONMENT = ("FIRSTSHOT", "HF_", "XDG_", "MPL", "http", "HTTP", "all_proxy", "ALL_PROXY", "OMP_")


class TooLongError(BaseException):
    """An input took more than its seconds; no `except Exception` may take it for something else."""


def work(task: dict[str, Any]) -> None:
    """Run inputs one after another, from `task["first"]` on, until told to stop by a signal."""
    pipe = os.fdopen(task["pipe"], "w", buffering=1)
    scratch, samples = Path(task["scratch"]), Path(task["samples"])
    names = task["targets"] or None
    faulthandler.enable()

    def say(**told: Any) -> None:
        pipe.write(json.dumps(told, default=repr) + "\n")

    _prepare(samples)
    for number in range(task["first"], task["last"]):
        folder = scratch / "outer" / "case"
        shutil.rmtree(scratch / "outer", ignore_errors=True)
        folder.mkdir(parents=True)
        case = Case(task["seed"], number, folder, samples, lambda note: say(note=note))
        chosen = choose_target(case, names)
        say(begin=number, target=chosen.name)
        began = time.monotonic()
        fault = _attempt(case, chosen.run, task["limit"])
        if fault is not None:
            folder.rename(scratch / f"input-{number}")
            say(fault=fault)
            if "TooLongError" in fault["kind"]:
                sys.exit(3)  # what was cut off may have left a thread or a lock behind
        say(took=time.monotonic() - began)
    say(end=task["last"])
    pipe.flush()
    os._exit(0)  # whatever an input left running does not hold up the end


def _prepare(samples: Path) -> None:
    """Load the libraries, then bound what the process may do."""
    from tests.fuzz import arguments, commands, readers  # noqa: F401
    from tests.fuzz.samples import has, small_defaults

    small_defaults()
    if has("torch"):
        import torch

        torch.set_num_threads(1)
    _no_network()
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, _stop)
    try:
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))
    except OSError:
        pass  # no such file: this system bounds no memory
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def _stop(*_: object) -> NoReturn:
    raise TooLongError


def _no_network() -> None:
    """Let every connection fail, and every wait pass at once; hide the user's own home."""
    import pwd

    really_sleep = time.sleep

    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError("no network during a fuzz run")

    def no_user(uid: int) -> NoReturn:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    def pass_at_once(seconds: float) -> None:
        if not 0 <= seconds < 1e9:
            really_sleep(seconds)  # which refuses it

    socket.create_connection = refuse
    socket.getaddrinfo = refuse
    socket.socket.connect = refuse  # type: ignore[method-assign]
    pwd.getpwuid = no_user  # type: ignore[assignment]
    time.sleep = pass_at_once


def _attempt(case: Case, run: Any, limit: float) -> dict[str, str] | None:
    """Run one input; return the fault that left it, or None."""
    usual = {k: v for k, v in os.environ.items() if not k.startswith(ENVIRONMENT)}
    streams = sys.stdout, sys.stderr
    home = case.folder.parent
    kept = dict(os.environ)
    os.environ.clear()
    os.environ.update(usual, HOME=str(home), FIRSTSHOT_CACHE=str(home / "cache"), COLUMNS="80")
    os.environ.update(OMP_NUM_THREADS="1")
    os.chdir(case.folder)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        run(case)
    except BaseException as error:
        signal.setitimer(signal.ITIMER_REAL, 0)
        kind = fault_of(error)
        if kind is not None:
            return {"kind": kind, "text": str(error)[:500], "traceback": traceback.format_exc()}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.stdout, sys.stderr = streams
        os.environ.clear()
        os.environ.update(kept)
        os.chdir(case.folder.parent.parent)
    return None


if __name__ == "__main__":
    work(json.loads(sys.argv[1]))
