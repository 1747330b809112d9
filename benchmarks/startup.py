"""From the start of Python to the first score, without torch, beside ONNX Runtime alone.

    python benchmarks/startup.py [--members 1000] [--rounds 15] [--threads 2]

Makes a bundle (random weights, bank of noise), then starts, in turn, fresh processes that

- `ours`: load the bundle (digests, self-checks) and score one 10 s file;
- `command`: run `firstshot score BUNDLE FILE`, which does the same and prints a table;
- `reference`: import numpy and onnxruntime, and run the bundle's graph once on a spectrogram of
  10 s: the encoder alone, without decoding, front-end, bank or checks.

None of them can import torch. The time ends when the process has printed its score, not when it
has gone. Memory is the most that the process held at once (VmHWM): getrusage's figure may be the
parent's, from the moment between fork and exec.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np

BLOCK = "import sys; sys.modules.update(dict.fromkeys(['torch', 'onnx', 'openvino']))\n"
MEMORY = """
import re
found = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())
print("peak", int(found[1]) / 1024 if found else float("nan"), flush=True)
"""
OURS = f"""{BLOCK}
from firstshot.deploy.bundle import load_bundle
print("score", load_bundle(sys.argv[1]).score(sys.argv[2])[0], flush=True)
{MEMORY}
"""
COMMAND = f"""{BLOCK}
from firstshot.cli import main
sys.argv[:] = ["firstshot", "score", sys.argv[1], sys.argv[2]]
try:
    main()
except SystemExit:
    pass
print("score", flush=True)
{MEMORY}
"""
REFERENCE = f"""{BLOCK}
import numpy as np, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(sys.argv[3])
session = onnxruntime.InferenceSession(sys.argv[1] + "/encoder.onnx", options)
noise = np.random.default_rng(0).standard_normal((1, 1001, 64), dtype=np.float32)
print("score", session.run(None, {{session.get_inputs()[0].name: noise}})[0].sum(), flush=True)
{MEMORY}
"""
PROGRAMS = {"ours": OURS, "command": COMMAND, "reference": REFERENCE}
RATE = 16000


def main() -> None:
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as folder:
        bundle, clip = Path(folder) / "bundle", Path(folder) / "clip.wav"
        if arguments.make:
            make_bundle(Path(arguments.make), arguments.members)
            return
        # In a process of its own: this one stays small.
        command = [sys.executable, __file__, "--make", str(bundle)]
        subprocess.run([*command, "--members", str(arguments.members)], check=True)
        write_clip(clip)
        rounds = [
            {name: measure(name, bundle, clip, arguments.threads) for name in PROGRAMS}
            for _ in range(arguments.rounds + 1)
        ][1:]  # the first reads the files from the disk
        print_table(rounds, arguments)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--members", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--make", help="write the bundle here and stop")
    return parser.parse_args()


def make_bundle(folder: Path, members: int) -> None:
    """Fit CED tiny with random weights on noise, and export it."""
    from firstshot import Detector
    from firstshot.deploy.export import export_detector
    from firstshot.encoders.loading import random_encoder
    from firstshot.errors import FirstshotWarning

    warnings.simplefilter("ignore", FirstshotWarning)
    draws = np.random.default_rng(1)
    clips = [0.1 * draws.standard_normal(RATE) for _ in range(members)]
    few = max(2, members // 100)
    detector = Detector(random_encoder("ced_tiny"), normalizer="domain_local_density")
    export_detector(detector.fit(clips[few:], clips[:few], sample_rate=RATE), folder)


def write_clip(path: Path) -> None:
    import soundfile

    noise = 0.1 * np.random.default_rng(2).standard_normal(10 * RATE)
    soundfile.write(path, noise, RATE)


def measure(name: str, bundle: Path, clip: Path, threads: int) -> tuple[float, float]:
    """Return seconds to the score and the most memory held, MiB."""
    command = [sys.executable, "-c", PROGRAMS[name], str(bundle), str(clip), str(threads)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("score"):
                taken = time.perf_counter() - began
            if line.startswith("peak"):
                memory = float(line.split()[1])
    if process.returncode:
        raise SystemExit(f"{name}: a process ended with {process.returncode}")
    return taken, memory


def print_table(
    rounds: list[dict[str, tuple[float, float]]], arguments: argparse.Namespace
) -> None:
    versions = ", ".join(f"{p} {version(p)}" for p in ("numpy", "onnxruntime"))
    print(f"Python {platform.python_version()}, {versions}, {platform.machine()}")
    print(
        f"ced_tiny, {arguments.members} members, {arguments.threads} threads, median of "
        f"{len(rounds)} rounds\n"
    )
    print("| process | seconds | lowest | ratio to reference | peak memory, MiB |")
    print("|---|---|---|---|---|")
    for name in PROGRAMS:
        seconds = [one[name][0] for one in rounds]
        ratio = statistics.median(one[name][0] / one["reference"][0] for one in rounds)
        memory = statistics.median(one[name][1] for one in rounds)
        print(
            f"| {name} | {statistics.median(seconds):.2f} | {min(seconds):.2f} | {ratio:.2f} | "
            f"{memory:.0f} |"
        )


if __name__ == "__main__":
    main()
