"""Why sound cannot be judged: such a window has no score, and a machine without any is blind.

Input: what was measured of a window. Output: a sentence, or None where nothing is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

SILENCE = "Digital silence, every sample is 0; check the microphone, its cable and its switch."
MOST_CLIPPED = 0.01
LEVEL_MARGIN = 20.0
"""dB outside the range of the learned clips. Where a machine's sound ends and a broken microphone
begins no level tells; at this distance neither can be judged by what was learned."""
GAIN_MARGIN = 10.0
"""dB outside the range of the commissioned windows: a machine seldom changes that much, a gain
does."""


@dataclass(frozen=True)
class Heard:
    """What was measured of a window's sound.

    Attributes
    ----------
    level_dbfs : float
        Root mean square, 0 dB for a full-scale square wave; -inf for digital silence.
    clipped : float
        Share of clipped samples, 0 to 1.
    finite : bool
        Whether every sample is a number.
    level_db : float or None
        The level as the detector's normal clips have it; None where nothing can be measured.
    """

    level_dbfs: float
    clipped: float
    finite: bool
    level_db: float | None


def find_fault(heard: Heard, normal_levels: tuple[float, float] | None) -> str | None:
    """Say why a window cannot be judged; `normal_levels` is the range of the learned clips in dB.

    >>> find_fault(Heard(level_dbfs=-3.0, clipped=0.04, finite=True, level_db=20.0), None)
    '4 % of the samples are clipped; lower the gain.'
    """
    if not heard.finite:
        return "There are samples that are no sound; check the source's sample format."
    if heard.level_dbfs == -float("inf"):
        return SILENCE
    if heard.clipped > MOST_CLIPPED:
        return f"{100 * heard.clipped:.0f} % of the samples are clipped; lower the gain."
    if normal_levels is None or heard.level_db is None:
        return None
    low, high = normal_levels
    if heard.level_db < low - LEVEL_MARGIN:
        return (
            f"The level is {low - heard.level_db:.0f} dB below the quietest sound that was "
            "learned; is the machine off, or has the gain changed?"
        )
    if heard.level_db > high + LEVEL_MARGIN:
        return (
            f"The level is {heard.level_db - high:.0f} dB above the loudest sound that was "
            "learned; has the gain changed?"
        )
    return None
