"""firstshot hears when a machine is going wrong, from a few minutes of its normal sound.

>>> import firstshot
>>> detector = firstshot.Detector(encoder="logmel", normalizer="domain_local_density")

`Detector` learns one machine, `Ensemble` takes the mean of several detectors, and both return a
`Result` per clip. Every error is a `FirstshotError`, every warning a `FirstshotWarning`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from firstshot.errors import (
    DatasetError,
    DetectorFileError,
    DownloadError,
    FirstshotError,
    FirstshotWarning,
    MissingLibraryError,
    NotFittedError,
    OutputError,
    ParameterError,
    SoundError,
    WeightsError,
)
from firstshot.version import __version__

if TYPE_CHECKING:
    from firstshot.detector import Detector, Ensemble
    from firstshot.detector.embeddings import embed
    from firstshot.detector.views import View
    from firstshot.encoders import list_encoders, load_encoder
    from firstshot.results import Result

__all__ = [
    "DatasetError",
    "Detector",
    "DetectorFileError",
    "DownloadError",
    "Ensemble",
    "FirstshotError",
    "FirstshotWarning",
    "MissingLibraryError",
    "NotFittedError",
    "OutputError",
    "ParameterError",
    "Result",
    "SoundError",
    "View",
    "WeightsError",
    "__version__",
    "embed",
    "list_encoders",
    "load_encoder",
]

_HOME = {
    "Detector": "firstshot.detector",
    "Ensemble": "firstshot.detector",
    "Result": "firstshot.results",
    "View": "firstshot.detector.views",
    "embed": "firstshot.detector.embeddings",
    "list_encoders": "firstshot.encoders",
    "load_encoder": "firstshot.encoders",
}
"""Where the names lie that are imported when first used: `import firstshot` stays quick."""


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'firstshot' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
