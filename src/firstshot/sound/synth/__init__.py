"""Synthetic machines: `clips` makes one clip, `dataset` a data set in the challenge's layout.

`machines` makes the sound of a healthy or faulty machine from `parts`: noise, tones, impacts.
"""

from firstshot.sound.synth.clips import FAULTS, MACHINES, synthesize

__all__ = ["FAULTS", "MACHINES", "synthesize"]
