"""What a detector learned: its normal clips, the parts fitted on them, scores and threshold."""

from firstshot.detector.fitted.normal_clips import NormalClips, make_normal_clips
from firstshot.detector.fitted.record import (
    NOT_FITTED,
    Calibration,
    FittedDetector,
    build_parts,
    fit_detector,
    read_settings,
)

__all__ = [
    "NOT_FITTED",
    "Calibration",
    "FittedDetector",
    "NormalClips",
    "build_parts",
    "fit_detector",
    "make_normal_clips",
    "read_settings",
]
