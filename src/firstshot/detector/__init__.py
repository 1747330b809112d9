"""Encoder, bank, normaliser and threshold as one object: learn, judge, explain, save, load."""

from firstshot.detector.detector import Detector
from firstshot.detector.ensemble import Ensemble

__all__ = ["Detector", "Ensemble"]
