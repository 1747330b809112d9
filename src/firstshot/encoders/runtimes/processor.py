"""Which precisions this processor has instructions for, and which libraries are installed.

Input: the flags that the system reports. Output: names of precisions. A precision that a processor
lacks is emulated, which is slower than fp32 and less exact: `auto` never picks one.
"""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

PRECISIONS = ("fp32", "fp16", "bf16")
"""What an encoder can compute in; its input and output are always float32."""

# Intel's and AMD's names, then those of ARM under Linux and macOS.
_FLAGS = {
    "fp16": ("avx512_fp16", "amx_fp16", "asimdhp", "hw.optional.arm.FEAT_FP16"),
    "bf16": ("amx_bf16", "avx512_bf16", "bf16", "hw.optional.arm.FEAT_BF16"),
}
SHOWN_FLAGS = (
    "avx2",
    "avx512f",
    "avx512_bf16",
    "avx512_fp16",
    "amx_bf16",
    "amx_fp16",
    "asimdhp",
    "bf16",
)


@lru_cache(maxsize=1)
def processor_flags() -> frozenset[str]:
    """Return the instruction sets that the system reports; none where it reports nothing.

    >>> isinstance(processor_flags(), frozenset)
    True
    """
    if platform.system() == "Darwin":
        return _flags_of_sysctl(_sysctl())
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    return flags_of_cpuinfo(text)


def flags_of_cpuinfo(text: str) -> frozenset[str]:
    """Return the flags in Linux' /proc/cpuinfo.

    >>> sorted(flags_of_cpuinfo("flags : avx2 amx_bf16"))
    ['amx_bf16', 'avx2']
    """
    for line in text.splitlines():
        name, _, values = line.partition(":")
        if name.strip().lower() in ("flags", "features"):
            return frozenset(values.split())
    return frozenset()


def _flags_of_sysctl(text: str) -> frozenset[str]:
    pairs = (line.rpartition(":") for line in text.splitlines())
    return frozenset(name.strip() for name, _, value in pairs if value.strip() == "1")


def _sysctl() -> str:
    try:
        return subprocess.run(
            ["/usr/sbin/sysctl", "hw.optional"], capture_output=True, text=True, check=False
        ).stdout
    except OSError:
        return ""


def native_precisions(flags: frozenset[str] | None = None) -> tuple[str, ...]:
    """Return the precisions that a processor with these flags has instructions for.

    >>> native_precisions(frozenset({"avx2"})), native_precisions(frozenset({"avx512_bf16"}))
    (('fp32',), ('fp32', 'bf16'))
    """
    known = processor_flags() if flags is None else flags
    return tuple(p for p in PRECISIONS if p == "fp32" or known & set(_FLAGS[p]))


def describe_processor() -> str:
    """Return the name of the processor, with those of its instruction sets that matter here."""
    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    flags = [flag for flag in SHOWN_FLAGS if flag in processor_flags()]
    return f"{model} ({', '.join(flags) or 'instruction sets unknown'})"


def installed_versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of those packages that are installed.

    >>> list(installed_versions(["numpy", "no such package"]))
    ['numpy']
    """
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for package in packages:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


PACKAGES = {"openvino": ("openvino", "onnx"), "onnx": ("onnxruntime", "onnx"), "torch": ("torch",)}
"""What each runtime needs; the order is that of the probe."""


def runtime_versions(runtime: str) -> str:
    """Return the versions of what a runtime needs; empty where a part is not installed."""
    found = installed_versions(PACKAGES[runtime])
    complete = len(found) == len(PACKAGES[runtime])
    return " ".join(f"{name} {number}" for name, number in found.items()) if complete else ""
