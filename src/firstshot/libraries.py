"""Optional libraries are imported where they are used, and a missing one is one kind of error.

Input: the name of a module. Output: the module, or an error that says what to install.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from firstshot.errors import MissingLibraryError
from firstshot.messages import first_line

EXTRAS = {
    "torch": ("PyTorch", "encoders"),
    "onnx": ("onnx", "onnx"),
    "onnxruntime": ("ONNX Runtime", "onnx"),
    "openvino": ("OpenVINO", "openvino"),
    "huggingface_hub": ("huggingface_hub", "hub"),
    "paho.mqtt.client": ("paho-mqtt", "live"),
    "prometheus_client": ("prometheus-client", "live"),
    "rich": ("rich", "live"),
    "sounddevice": ("sounddevice with PortAudio", "live"),
}
"""Module -> what people call the library, and the extra of firstshot that installs it."""


def import_library(module: str, needed_by: str) -> Any:
    """Import an optional library.

    Parameters
    ----------
    module : str
        A key of `EXTRAS`.
    needed_by : str
        What cannot work without it, for the message.

    Raises
    ------
    MissingLibraryError
        It is not installed, or it cannot be loaded on this system.

    Examples
    --------
    >>> import_library("openvino_of_tomorrow", "the runtime")
    Traceback (most recent call last):
    KeyError: 'openvino_of_tomorrow'
    """
    library, extra = EXTRAS[module]
    try:
        return import_module(module)
    except (ImportError, OSError) as error:  # OSError: a shared library that is not there
        raise MissingLibraryError(
            f"{needed_by} needs {library} ({first_line(error)}); "
            f"run `pip install 'firstshot[{extra}]'`"
        ) from error
