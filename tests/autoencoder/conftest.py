"""The golden set: what the published code gave on 36 synthetic clips with random weights."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest

from firstshot.autoencoder.features import join_frames, log_mel, stack_frames

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "autoencoder"


class Golden:
    """The stored numbers (`arrays`, `facts`), and the clips and weights they were made from."""

    def __init__(self):
        self.arrays = dict(np.load(GOLDEN / "arrays.npz"))
        self.facts = json.loads((GOLDEN / "expected.json").read_text())
        self.train = self.facts["train_basenames"]
        self.test = list(self.facts["scores"]["MSE"])
        self.is_target = ["_target_" in name for name in self.train]

    def samples(self, name):
        """A clip of 2 s as int16, from integers only, so that it has the same bits everywhere."""
        count = 32000
        draw = np.random.default_rng(zlib.crc32(name.encode()))
        target = "_target_" in name
        noise = draw.integers(-700, 701, size=count + 2).astype(np.int64)
        middle = -noise[1:-1] if target else 2 * noise[1:-1]
        index = np.arange(count)
        half_period = int(draw.integers(51, 57) if target else draw.integers(37, 43))
        clip = noise[2:] + middle + noise[:-2]
        clip = clip + np.where((index // half_period) % 2 == 0, 1800, -1800)
        if "_anomaly_" in name:
            clip = clip + np.where((index // 9) % 2 == 0, 700, -700)
            clip = clip + np.where(index % 4000 < 60, 5000, 0)
        return np.clip(clip, -32768, 32767).astype(np.int16)

    def frames(self, name):
        return log_mel(self.samples(name).astype(np.float32) / np.float32(32768))

    def vectors(self, name):
        return np.array(stack_frames(self.frames(name)))

    def training_frames(self):
        return join_frames([self.frames(name) for name in self.train], self.is_target)

    def network(self):
        """The network with the random weights, in evaluation mode."""
        torch = pytest.importorskip("torch")
        from firstshot.autoencoder.network import Autoencoder

        network = Autoencoder(seed=0)
        state = network.state_dict()
        for name, tensor in state.items():
            if name.endswith("num_batches_tracked"):
                continue
            draw = np.random.default_rng(zlib.crc32(name.encode()))
            values = draw.standard_normal(tensor.shape).astype(np.float32) * np.float32(0.02)
            if name.endswith("running_var"):
                values = 1 + np.abs(values)
            elif name.endswith(".weight") and values.ndim == 1:
                values = 1 + values
            state[name] = torch.from_numpy(values)
        network.load_state_dict(state)
        return network.eval()


@pytest.fixture(scope="session")
def golden():
    return Golden()


@pytest.fixture(scope="session")
def residuals(golden):
    """Reconstruction minus vector (59, 640) of every clip, by name, with the random weights."""
    torch = pytest.importorskip("torch")
    network, found = golden.network(), {}
    for name in (*golden.train, *golden.test):
        vectors = torch.from_numpy(golden.vectors(name))
        with torch.inference_mode():
            found[name] = (network(vectors)[0] - vectors).numpy()
    return found
