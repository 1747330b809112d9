"""OpenVINO runs an encoder's graph: the fast path on x86 processors.

Input: an ONNX model. Output: per output of the graph, a float32 array.

Two of its defaults do not fit and are always set. By default it computes in bf16 wherever the
processor can, and replaces a precision that the processor lacks, both without a message: here the
precision is set and then read back. By default it pins its threads to cores, and two processes to
the same cores: here pinning is off.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstshot.errors import ParameterError, WeightsError
from firstshot.libraries import import_library
from firstshot.messages import first_line

_HINTS = {"fp32": "f32", "fp16": "f16", "bf16": "bf16"}
_TYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


class OpenVinoGraph:
    """A graph that OpenVINO runs; several threads may run it at once.

    Parameters
    ----------
    model : callable or Path
        A function that returns the bytes of an ONNX model, called once; or a file.
    precision : str
        `fp32`, or `fp16` or `bf16` where the processor computes in it.
    threads : int
        Threads in all.
    runs : int
        Runs that may go on at once; each has `threads` divided by `runs`.

    Raises
    ------
    ParameterError
        OpenVINO would compute in another precision on this processor.
    MissingLibraryError, WeightsError
        OpenVINO is not installed, or cannot run the graph.
    """

    def __init__(
        self,
        model: Callable[[], bytes] | Path,
        precision: str = "fp32",
        threads: int = 1,
        runs: int = 1,
    ) -> None:
        openvino = _import_openvino()
        settings = {
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": runs,
            "ENABLE_CPU_PINNING": False,
        }
        core = openvino.Core()
        try:
            read = core.read_model(str(model) if isinstance(model, Path) else model())
            self._compiled: Any = core.compile_model(read, "CPU", settings)
        except RuntimeError as error:
            raise WeightsError(
                f"OpenVINO {openvino.__version__} cannot run the graph ({first_line(error)}); "
                "update openvino, or choose the runtime onnx or torch"
            ) from error
        used = self._compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        if used not in (_HINTS[precision], _TYPES[precision]):
            raise ParameterError(
                f"precision {precision!r}: this processor lacks it and OpenVINO would compute in "
                f"{used}; choose one of {', '.join(openvino_precisions())}"
            )
        self._of_thread = threading.local()

    def run(self, spectrograms: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Return every output for spectrograms (clips, frames, mels)."""
        request = getattr(self._of_thread, "request", None)
        if request is None:
            request = self._of_thread.request = self._compiled.create_infer_request()
        found = request.infer({0: spectrograms}, share_inputs=True, share_outputs=False)
        return [np.asarray(found[i], dtype=np.float32) for i in range(len(found))]

    def close(self) -> None:
        """Give the memory back."""
        self._compiled, self._of_thread = None, threading.local()


def openvino_precisions() -> tuple[str, ...]:
    """Return the precisions that OpenVINO computes in on this processor."""
    able = _import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return tuple(name for name in _HINTS if name.upper() in able)


def _import_openvino() -> Any:
    return import_library("openvino", "the runtime openvino")
