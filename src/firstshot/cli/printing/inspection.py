"""What `firstshot bank inspect` prints: what is unusual in a bank, and how to remove it."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from firstshot.cli.printing.tables import print_json, say
from firstshot.disk.names import show_name, write_name

if TYPE_CHECKING:
    from firstshot.detector.inspection import Inspection, UnlikeClip


def print_inspection_json(inspection: Inspection) -> None:
    """Print one document: the fields of `Inspection`, and its notes."""
    record = asdict(inspection)
    record["near_copies"] = [
        [{"domain": domain, "clip": clip} for domain, clip in group]
        for group in inspection.near_copies
    ]
    print_json({"schema": 1, **record, "notes": inspection.notes})


def print_inspection(inspection: Inspection, path: Path) -> None:
    """Print each finding with its clips, and the command that removes those unlike the others."""
    for sentence in inspection.words:
        say(sentence)
    if not inspection.notes:
        return
    for one in inspection.unlike:
        _print_unlike(one)
    for group in inspection.near_copies:
        say("near-copies:")
        for domain, clip in group:
            say(f"  {show_name(clip)} ({domain})")
    unit = {"level": "dB", "length": "s"}
    for odd in inspection.odd:
        value = f"{odd.value:.3g} {unit[odd.quantity]}, median of the {odd.domain} {odd.usual:.3g}"
        say(f"odd {odd.quantity}: {show_name(odd.clip)} ({value})")
    if inspection.unlike:
        say("nothing was removed; listen first, then remove those that are not normal:")
    for command in removal_commands(inspection, path):
        say(f"  {command}")


def removal_commands(inspection: Inspection, path: Path) -> list[str]:
    """Return the commands that remove the clips unlike the others from a detector file."""
    commands = []
    for domain in dict.fromkeys(one.domain for one in inspection.unlike):
        names = [write_name(one.clip) for one in inspection.unlike if one.domain == domain]
        words = ["firstshot", "bank", "remove", str(path), *names, "--domain", domain]
        commands.append(shlex.join(words))
    return commands


def _print_unlike(one: UnlikeClip) -> None:
    say(
        f"unlike the others: {show_name(one.clip)} ({one.domain}, held-out score {one.score:.4g}, "
        f"p = {one.p_value:.2g})"
    )
    for near in one.nearest:
        say(f"  nearest: {show_name(near.clip)} ({near.domain}, distance {near.distance:.4g})")
