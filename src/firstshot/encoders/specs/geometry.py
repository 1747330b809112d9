"""Encoder geometry: a clip's length in samples becomes frames, patches, tokens and counts.

Input: a number of samples at 16 kHz. Output: the token grid (time, freq), multiply-accumulates
(MACs) and parameters, as exact integers, by arithmetic alone: no weights, no torch, no numpy.
Sources: the published inference code of BEATs (Chen et al. 2022), EAT (Chen et al. 2024), SSLAM
(Alex et al. 2025), CED (Dinkel et al. 2023) and M2D-CLAP (Niizumi et al. 2024), described.

MACs and parameters follow the conventions of `counting`; parameters held outside a layer (CLS,
positions, the relative bias table) are not counted there, nor is the front-end. `attention=True`
adds the two products inside attention, which those conventions leave out. Every geometry has
`rows`, the frequency rows of its token grid, and `hidden`, the units of its MLPs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from firstshot.encoders.specs.counting import stack_macs, stack_parameters

SAMPLE_RATE = 16000
HOP = 160
PATCH = 16
CLASSES = 527


def centred_frames(samples: int, hop: int = HOP) -> int:
    """Frames of an STFT whose frame k is centred on sample k*hop.

    >>> centred_frames(160000)
    1001
    """
    return 1 + samples // hop


def inside_frames(samples: int, window: int = 400, hop: int = HOP) -> int:
    """Frames that lie wholly inside the clip, as Kaldi counts them.

    >>> inside_frames(160000)
    998
    """
    return max(0, 1 + (samples - window) // hop)


@dataclass(frozen=True)
class CedGeometry:
    """CED: 64 dB-mel rows, centred frames, no CLS, tokens frequency-major.

    Clips of more than `piece_frames` frames are encoded in pieces of that many, the last padded.

    >>> CED_TINY.grid(160000), CED_TINY.macs(160000)
    ((62, 4), 1333796672)
    """

    dim: int
    heads: int
    depth: int = 12
    mels: int = 64
    piece_frames: int = 1012
    positions: int = 63
    classes: int = CLASSES
    minimum_samples: int = 15 * HOP

    @property
    def hidden(self) -> int:  # noqa: D102
        return 4 * self.dim

    @property
    def rows(self) -> int:  # noqa: D102
        return self.mels // PATCH

    def steps(self, samples: int) -> tuple[int, ...]:
        """Time steps of each piece that a clip is encoded in."""
        frames = centred_frames(samples)
        if frames <= self.piece_frames:
            return (frames // PATCH,)
        return (self.piece_frames // PATCH,) * -(-frames // self.piece_frames)

    def grid(self, samples: int) -> tuple[int, int]:
        """Token grid (time, freq) of a clip."""
        return sum(self.steps(samples)), self.rows

    def macs(self, samples: int, attention: bool = False) -> int:
        """MACs of one clip, tagging head included (it runs once a piece)."""
        head = (4 + self.classes) * self.dim
        total = 4 * self.mels * centred_frames(samples)
        for steps in self.steps(samples):
            tokens = steps * self.rows
            total += head + tokens * self.dim * PATCH**2
            total += stack_macs(tokens, self.depth, self.dim, self.hidden, attention)
        return total

    def counted_parameters(self) -> int:
        """Parameters as thop counts them: with the tagging head, without the positions."""
        head = 2 * self.dim + self.classes * (self.dim + 1)
        patches = self.dim * (PATCH**2 + 1)
        return head + patches + 2 * self.mels + stack_parameters(self.depth, self.dim, self.hidden)

    def learned_parameters(self) -> int:
        """Learned values that reach an embedding: positions counted, the tagging head left out."""
        head = 2 * self.dim + self.classes * (self.dim + 1)
        return self.counted_parameters() - head + self.dim * (self.positions + self.rows)


@dataclass(frozen=True)
class M2dGeometry:
    """M2D: 80 log-mel rows, centred frames, one CLS a piece, tokens frequency-major.

    A clip is padded at the end until what exceeds whole pieces is a multiple of 16 frames, then cut
    into pieces of `piece_frames`; the last piece stays shorter.

    >>> M2D_CLAP.grid(160000), M2D_CLAP.steps(196800)
    ((62, 5), (62, 15))
    """

    dim: int = 768
    heads: int = 12
    depth: int = 12
    mels: int = 80
    piece_frames: int = 1001
    minimum_samples: int = 201

    @property
    def hidden(self) -> int:  # noqa: D102
        return 4 * self.dim

    @property
    def rows(self) -> int:  # noqa: D102
        return self.mels // PATCH

    @property
    def positions(self) -> int:
        """Rows of the position table: the CLS and the patches of one whole piece."""
        return 1 + self.rows * (self.piece_frames // PATCH)

    def padding(self, frames: int) -> int:
        """Frames of zeros that are appended before a spectrogram is cut into pieces."""
        return -(frames % self.piece_frames) % PATCH

    def pieces(self, frames: int) -> tuple[int, ...]:
        """Frames of each piece of a spectrogram, padding included as far as it fits the piece."""
        padded, longest = frames + self.padding(frames), self.piece_frames
        return tuple(min(longest, padded - start) for start in range(0, frames, longest))

    def steps(self, samples: int) -> tuple[int, ...]:
        """Time steps of each piece that a clip is encoded in."""
        return tuple(piece // PATCH for piece in self.pieces(centred_frames(samples)))

    def grid(self, samples: int) -> tuple[int, int]:
        """Token grid (time, freq) of a clip."""
        return sum(self.steps(samples)), self.rows

    def macs(self, samples: int, attention: bool = False) -> int:
        """MACs of one clip, without any head."""
        total = 0
        for steps in self.steps(samples):
            patches = steps * self.rows
            total += patches * self.dim * PATCH**2
            total += stack_macs(patches + 1, self.depth, self.dim, self.hidden, attention)
        return total

    def counted_parameters(self) -> int:
        """Parameters as thop counts them: without CLS and positions."""
        patches = self.dim * (PATCH**2 + 1)
        return patches + stack_parameters(self.depth, self.dim, self.hidden)

    def learned_parameters(self) -> int:
        """Learned values that reach an embedding; the position table is fixed, the CLS learned."""
        return self.counted_parameters() + self.dim


@dataclass(frozen=True)
class EatGeometry:
    """EAT and SSLAM: 128 Kaldi log-mel rows, one CLS, tokens time-major.

    Spectrograms are padded to `least_frames`, longer ones to a multiple of 16; with `least_frames`
    16 every clip is padded to a multiple of 16 only.

    >>> EAT_BASE.grid(160000), EAT_BASE.macs(160000)
    ((64, 8), 43711540224)
    """

    dim: int = 768
    heads: int = 12
    depth: int = 12
    mels: int = 128
    least_frames: int = 1024
    most_steps: int = 768
    minimum_samples: int = 400

    @property
    def hidden(self) -> int:  # noqa: D102
        return 4 * self.dim

    @property
    def rows(self) -> int:  # noqa: D102
        return self.mels // PATCH

    def padded_frames(self, frames: int) -> int:
        """Frames of a spectrogram after padding."""
        return max(self.least_frames, frames + -frames % PATCH)

    def grid(self, samples: int) -> tuple[int, int]:
        """Token grid (time, freq) of a clip."""
        return self.padded_frames(inside_frames(samples)) // PATCH, self.rows

    def macs(self, samples: int, attention: bool = False) -> int:
        """MACs of one clip, without any head."""
        steps, rows = self.grid(samples)
        patches = steps * rows
        stack = stack_macs(patches + 1, self.depth, self.dim, self.hidden, attention)
        return stack + patches * self.dim * PATCH**2

    def counted_parameters(self) -> int:
        """Parameters as thop counts them: without CLS and positions."""
        patches = self.dim * (PATCH**2 + 1)
        return patches + stack_parameters(self.depth, self.dim, self.hidden)

    def learned_parameters(self) -> int:
        """Learned values that reach an embedding; the position table is fixed, the CLS learned."""
        return self.counted_parameters() + self.dim


@dataclass(frozen=True)
class BeatsGeometry:
    """BEATs: 128 Kaldi log-mel rows, no CLS, tokens time-major.

    >>> BEATS.grid(160000), BEATS.macs(160000)
    ((62, 8), 45009203200)
    """

    dim: int = 768
    heads: int = 12
    depth: int = 12
    hidden: int = 3072
    patch_dim: int = 512
    mels: int = 128
    kernel: int = 128
    groups: int = 16
    buckets: int = 320
    classes: int = CLASSES
    minimum_samples: int = 400 + 15 * HOP

    @property
    def rows(self) -> int:  # noqa: D102
        return self.mels // PATCH

    def grid(self, samples: int) -> tuple[int, int]:
        """Token grid (time, freq) of a clip."""
        return inside_frames(samples) // PATCH, self.rows

    def macs(self, samples: int, attention: bool = False) -> int:
        """MACs of one clip, tagging head included (the report's code runs it on every token)."""
        steps, rows = self.grid(samples)
        tokens = steps * rows
        patches = self.patch_dim * PATCH**2 + 4 * self.patch_dim + self.patch_dim * self.dim
        gates = 8 * self.dim * self.depth
        # The position convolution makes one position more than it is given; the last is dropped.
        convolution = (tokens + 1) * self.dim * (self.dim // self.groups) * self.kernel
        stack = stack_macs(tokens, self.depth, self.dim, self.hidden, attention)
        return tokens * (patches + gates + self.dim * self.classes) + convolution + stack

    def counted_parameters(self) -> int:
        """Parameters as thop counts them: with the head, without bias table and gate scales."""
        patches = self.patch_dim * (PATCH**2 + 2) + self.dim * (self.patch_dim + 1)
        gates = self.depth * 8 * (self.dim // self.heads + 1)
        convolution = self.dim * (self.dim // self.groups) * self.kernel + self.kernel + self.dim
        stack = stack_parameters(self.depth, self.dim, self.hidden)
        return patches + gates + convolution + stack + self.classes * (self.dim + 1)

    def learned_parameters(self) -> int:
        """Learned values that reach an embedding: bias table and gate scales, no tagging head."""
        head = self.classes * (self.dim + 1)
        return self.counted_parameters() - head + self.heads * (self.depth + self.buckets)


CED_TINY = CedGeometry(dim=192, heads=3)
CED_MINI = CedGeometry(dim=256, heads=4)
CED_SMALL = CedGeometry(dim=384, heads=6)
CED_BASE = CedGeometry(dim=768, heads=12)
M2D_CLAP = M2dGeometry()
EAT_BASE = EatGeometry()
EAT_LARGE = EatGeometry(dim=1024, heads=16, depth=24)
BEATS = BeatsGeometry()

Geometry: TypeAlias = CedGeometry | M2dGeometry | EatGeometry | BeatsGeometry

GEOMETRIES: dict[str, Geometry] = {
    "beats_ft1": BEATS,
    "m2d_clap": M2D_CLAP,
    "eat": EAT_BASE,
    "eat_large": EAT_LARGE,
    "sslam": EAT_BASE,
    "ced_tiny": CED_TINY,
    "ced_mini": CED_MINI,
    "ced_small": CED_SMALL,
    "ced_base": CED_BASE,
}
"""The geometry of every pre-trained encoder, by the name it is loaded under."""
