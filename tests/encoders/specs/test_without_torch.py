"""Specs, the catalogue of weights and the bundle's encoder are imported where torch is absent."""

from __future__ import annotations

import subprocess
import sys

import pytest

BLOCKED = "import sys; sys.modules.update(torch=None, safetensors=None, onnx=None)\n"


@pytest.mark.parametrize(
    "module",
    [
        "specs",
        "specs.as_json",
        *(
            f"weights.{name}"
            for name in ("catalog", "files", "read", "cache", "hub", "web_file", "find")
        ),
        "pretrained_encoder",
        "runtimes.compile",
        "runtimes.with_runtime",
        "loading",
    ],
)
def test_a_module_is_imported_without_torch(module: str) -> None:
    program = f"{BLOCKED}import firstshot.encoders.{module}"
    subprocess.run([sys.executable, "-c", program], check=True)
