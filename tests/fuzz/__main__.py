"""`python -m tests.fuzz`: feed every reader and every command what it should refuse.

Each input is a valid one with something wrong in it. Whatever leaves firstshot but an error of its
own, a documented exit status or a result is an escape; so is an input that takes endless time or
memory. Distinct escapes are printed, their inputs kept, and the exit status is then 1.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from pathlib import Path

from tests.fuzz import arguments, commands, readers  # noqa: F401
from tests.fuzz.cases import TARGETS
from tests.fuzz.runs import LIMIT, Run
from tests.fuzz.samples import make_samples, small_defaults


def main() -> int:
    """Parse the command line, run, and print what escaped."""
    chosen = _parser().parse_args()
    if chosen.list:
        print("\n".join(f"{each.weight:3}  {name}" for name, each in sorted(TARGETS.items())))
        return 0
    with tempfile.TemporaryDirectory(prefix="firstshot-fuzz-") as name:
        folder = Path(name)
        print("making valid inputs ...", flush=True)
        small_defaults()
        warnings.simplefilter("ignore")
        make_samples(folder / "samples")
        first, inputs = (0, chosen.inputs) if chosen.number is None else (chosen.number, 1)
        run = Run(
            folder / "samples", folder / "scratch", chosen.keep, chosen.seed, first, inputs,
            chosen.seconds, chosen.limit, chosen.target,
        )  # fmt: skip
        began = time.monotonic()
        report = run(lambda line: print(line, flush=True))
    taken = time.monotonic() - began
    for target, count in sorted(report.inputs.items()):
        print(f"{count:7} {report.seconds.get(target, 0):7.1f} s  {target}")
    print(f"{report.total:7} inputs in {taken:.0f} s, {len(report.escapes)} distinct escapes")
    for kind, escape in sorted(report.escapes.items()):
        print(f"{len(escape.numbers):7} x {kind}: {escape.text.splitlines()[:1]}")
    return 1 if report.escapes else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    add = parser.add_argument
    add("--inputs", type=int, default=20_000, help="how many inputs (default: %(default)s)")
    add("--seconds", type=float, default=float("inf"), help="stop after so many seconds")
    add("--seed", type=int, default=0, help="the same seed gives the same inputs")
    add("--number", type=int, help="run this one input again (with the same seed and targets)")
    add("--target", action="append", default=[], metavar="NAME", help="only this; repeatable")
    add("--limit", type=float, default=LIMIT, help="seconds an input may take (%(default)s)")
    add("--keep", type=Path, default=Path("fuzz-escapes"), help="where inputs are kept")
    add("--list", action="store_true", help="print the targets and their weights")
    return parser


if __name__ == "__main__":
    sys.exit(main())
