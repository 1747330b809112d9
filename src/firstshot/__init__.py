"""firstshot hears when a machine is going wrong, from a few minutes of its normal sound.

>>> import firstshot
>>> detector = firstshot.Detector(encoder="logmel", normalizer="domain_local_density")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Detector", "Ensemble", "__version__", "list_encoders", "load_encoder"]

if TYPE_CHECKING:
    from firstshot.detector import Detector, Ensemble
    from firstshot.encoders import list_encoders, load_encoder

_HOME = {
    "Detector": "firstshot.detector",
    "Ensemble": "firstshot.detector",
    "list_encoders": "firstshot.encoders",
    "load_encoder": "firstshot.encoders",
}


def __getattr__(name: str) -> Any:
    # Imported when first used, so that `import firstshot` and `firstshot --help` stay quick.
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'firstshot' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
