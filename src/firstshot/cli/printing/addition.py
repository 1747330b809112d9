"""What `firstshot bank add` prints: what the added clips do to the threshold and false alarms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firstshot.cli.printing.tables import say
from firstshot.disk.names import show_name

if TYPE_CHECKING:
    from firstshot.detector.addition import Above, Addition

NAMED_AT_MOST = 5


def print_addition(addition: Addition) -> None:
    """Print threshold and shares above it, before and after, and which clips were anomalous."""
    before, after = addition.threshold
    say(f"threshold {before:.4g} before, {after:.4g} after")
    shares = {**addition.domains, "added": addition.added}
    for name, (was, now) in shares.items():
        say(f"{name}: above it {_share(was)} before, {_share(now)} after")
    if not addition.anomalous:
        return
    say("above it before; listen to them, a fault that is added is normal from then on:")
    for clip, windows in list(addition.anomalous.items())[:NAMED_AT_MOST]:
        say(f"  {show_name(clip)}: {_share(windows, 'windows')}")
    more = len(addition.anomalous) - NAMED_AT_MOST
    if more > 0:
        say(f"  and {more} more")


def _share(counted: Above, what: str = "clips") -> str:
    """Say a share with its numbers.

    >>> from firstshot.detector.addition import Above
    >>> _share(Above(1, 20))
    '1 of 20 clips (5%)'
    """
    above, count = counted
    return f"{above} of {count} {what} ({100 * above / max(1, count):.0f}%)"
