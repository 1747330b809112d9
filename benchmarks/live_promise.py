"""How well `firstshot watch` keeps its promise, on simulated scores whose conditions change.

`python benchmarks/live_promise.py` commissions simulated machines, lets each run for 14 days, and
prints their false alarms a day beside the 1 / N that were promised, the share of machines with more
than were promised, and how soon a fault is found. Part of a score's variance is that of the
machine's condition, which lasts for minutes, an hour or a shift; the rest is new in each window.
Conditions that the commissioning did not hear break the promise: the table shows where.
"""

from __future__ import annotations

import argparse
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from firstshot.live.judging.promise import HOURS_PER_DAY, promised_level
from firstshot.live.judging.rule import WindowRule, find_alarms

HOP_SECONDS = 5.0
PER_HOUR = round(3600 / HOP_SECONDS)
PER_DAY = HOURS_PER_DAY * PER_HOUR
RULE = WindowRule.of_windows(2 * HOP_SECONDS, HOP_SECONDS)
CONDITIONS = {"none": 0.0, "1 min": 1 / 60, "5 min": 1 / 12, "1 h": 1.0, "8 h": 8.0}
"""Hours that a condition lasts."""
PROMISES = (1.0, 7.0, 30.0)
THEN_DAYS = 14
Random = np.random.Generator


def simulate(days: float, hours: float, share: float, rng: Random) -> NDArray[np.float64]:
    """Return the scores of normal windows (windows,), of mean 0 and variance 1.

    Parameters
    ----------
    days : float
        How long.
    hours : float
        How long a condition lasts; 0 means that there is none.
    share : float
        The share of the variance that lies between conditions.
    rng : Generator
        Random numbers.
    """
    count = round(days * PER_DAY)
    own = rng.standard_normal(count)
    if not hours:
        return own
    lasts = round(hours * PER_HOUR)
    conditions = rng.standard_normal(-(-count // lasts))
    return sqrt(share) * np.repeat(conditions, lasts)[:count] + sqrt(1 - share) * own


def commission(scores: NDArray[np.float64], days: float) -> float:
    """Return the threshold from the normal scores of whole hours, as `Commissioning` sets it."""
    ranked = RULE.ranked(scores)
    hours = len(ranked) // PER_HOUR
    maxima = ranked[: hours * PER_HOUR].reshape(hours, PER_HOUR).max(axis=1)
    return promised_level(maxima, days, HOURS_PER_DAY)


def false_alarms(
    heard_days: int, then_days: int, promised_days: float, hours: float, share: float, rng: Random
) -> int:
    """Return how many false alarms there are in some days after a commissioning."""
    # One run of sound: the condition at the end of the commissioning goes on.
    scores = simulate(heard_days + then_days, hours, share, rng)
    heard = heard_days * PER_DAY
    # The first hour lacks the windows before the eighth.
    level = commission(scores[: heard + RULE.of - 1], promised_days)
    return len(find_alarms(RULE.ranked(scores[heard:]), level))


def delay(shift: float, hours: float, share: float, rng: Random) -> int | None:
    """Return after how many windows a fault that raises all scores is found, None for an hour."""
    level = commission(simulate(1, hours, share, rng)[: PER_DAY - 1 + RULE.of], 7)
    scores = simulate(2 / 24, hours, share, rng)
    scores[PER_HOUR:] += shift
    alarms = find_alarms(RULE.ranked(scores), level)
    found = [start + RULE.of - PER_HOUR for start, _ in alarms if start + RULE.of > PER_HOUR]
    return found[0] if found else None


def promise_kept(
    condition: str, share: float, heard_days: int, promised_days: float, machines: int, seed: int
) -> tuple[float, float]:
    """Return false alarms a day, and the share of machines with more than were promised."""
    rng, hours = np.random.default_rng(seed), CONDITIONS[condition]
    alarms = np.array(
        [
            false_alarms(heard_days, THEN_DAYS, promised_days, hours, share, rng)
            for _ in range(machines)
        ]
    )
    most = max(1.0, THEN_DAYS / promised_days)
    return float(alarms.mean()) / THEN_DAYS, float((alarms > most).mean())


def row(condition: str, share: float, heard_days: int, machines: int, seed: int) -> str:
    """Return a line of the table: what becomes of each promise."""
    cells = []
    for promised in PROMISES:
        rate, above = promise_kept(condition, share, heard_days, promised, machines, seed)
        broken = " **broken**" if rate > 1 / promised else ""
        cells.append(f"{rate:.2f}, {100 * above:.0f} %{broken}")
    return f"| {condition} | {100 * share:.0f} % | {heard_days} | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--machines", type=int, default=40, help="machines per cell")
    parser.add_argument("--seed", type=int, default=8400)
    given = parser.parse_args()
    print("| condition lasts | of the variance | days heard | N = 1 | N = 7 | N = 30 |")
    print("|---|---|---|---|---|---|")
    print("| promised | | | " + " | ".join(f"{1 / days:.2f}" for days in PROMISES) + " |")
    cases = [
        (name, share, 1)
        for name in CONDITIONS
        for share in ((0.3, 0.7) if name != "none" else (0,))
    ]
    for case in (*cases, ("8 h", 0.3, 3), ("8 h", 0.7, 3)):
        print(row(*case, given.machines, given.seed), flush=True)
    print("\n| scores raised by | found within an hour | median delay, windows |")
    print("|---|---|---|")
    rng = np.random.default_rng(given.seed)
    for shift in (4.0, 3.0, 2.5):
        found = [delay(shift, 1 / 12, 0.3, rng) for _ in range(2 * given.machines)]
        windows = [one for one in found if one is not None]
        share = len(windows) / len(found)
        print(f"| {shift:g} sd | {100 * share:.0f} % | {np.median(windows):.0f} |")


if __name__ == "__main__":
    main()
