"""What a detector learned: its normal clips, the parts fitted on them, scores and threshold."""

from firstshot.detector.fitted.normal_clips import NormalClips, make_normal_clips, recordings_of
from firstshot.detector.fitted.record import (
    NOT_FITTED,
    Calibration,
    FittedDetector,
    build_parts,
    fit_detector,
)
from firstshot.detector.fitted.settings import read_settings, resolve_settings

__all__ = [
    "NOT_FITTED",
    "Calibration",
    "FittedDetector",
    "NormalClips",
    "build_parts",
    "fit_detector",
    "make_normal_clips",
    "read_settings",
    "recordings_of",
    "resolve_settings",
]
