"""ONNX Runtime runs an encoder's graph: the path without torch, on any processor, in fp32.

Input: an ONNX model. Output: per output of the graph, a float32 array.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstshot.encoders.runtimes.onnx_writer import INPUT
from firstshot.errors import FirstshotError, ParameterError, WeightsError
from firstshot.libraries import import_library
from firstshot.messages import first_line


class OnnxGraph:
    """A graph that ONNX Runtime runs; several threads may run it at once.

    Parameters
    ----------
    model : callable or Path
        A function that returns the bytes of an ONNX model, called once; or a file.
    precision : str
        `fp32`: on a processor, ONNX Runtime emulates the others.
    threads : int
        Threads of one run.
    runs : int
        Runs that may go on at once; each has `threads` divided by `runs`.
    """

    def __init__(
        self,
        model: Callable[[], bytes] | Path,
        precision: str = "fp32",
        threads: int = 1,
        runs: int = 1,
    ) -> None:
        if precision != "fp32":
            raise ParameterError(
                f"precision {precision!r}: ONNX Runtime computes in fp32 on a processor and would "
                "emulate it; choose fp32, or the runtime openvino or torch"
            )
        onnxruntime = import_library("onnxruntime", "the runtime onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = max(1, threads // runs)
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Threads that wait by spinning take the cores from the front-end and from other runs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Clips differ in length, so a plan of memory made for one does not fit the next.
        options.enable_mem_pattern = False
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(model) if isinstance(model, Path) else model(),
                options,
                providers=["CPUExecutionProvider"],
            )
        except FirstshotError:  # from writing the graph
            raise
        except Exception as error:  # its own classes have no base but Exception
            place = str(model) if isinstance(model, Path) else "the graph"
            raise WeightsError(
                f"{place}: ONNX Runtime {onnxruntime.__version__} cannot run it "
                f"({first_line(error)}); update onnxruntime, or export anew"
            ) from error
        if hasattr(self._session, "_model_bytes"):
            # Kept for trying another provider, of which there is none: as large as the weights.
            self._session._model_bytes = None

    def run(self, spectrograms: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Return every output for spectrograms (clips, frames, mels)."""
        outputs: list[NDArray[np.float32]] = self._session.run(None, {INPUT: spectrograms})
        return outputs

    def close(self) -> None:
        """Give the memory back."""
        self._session = None
