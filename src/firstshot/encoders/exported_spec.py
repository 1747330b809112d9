"""A pre-trained encoder's spec as plain data, so that its numpy part runs where torch is absent.

Input: the spec of beats.py, ced.py, eat.py or m2d.py. Output: JSON, and from it an `ExportedSpec`
that gives the same spectrograms, grids and pooled time steps, bit for bit. Every constant of the
front-end is written down; those that this firstshot cannot set are compared with its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstshot.disk.documents import Table
from firstshot.encoders.specs.geometry import (
    PATCH,
    BeatsGeometry,
    CedGeometry,
    EatGeometry,
    Geometry,
    M2dGeometry,
    centred_frames,
)
from firstshot.errors import ParameterError, SoundError, WeightsError
from firstshot.sound import mel
from firstshot.sound.spectrogram import KaldiMel, count_frames, kaldi_log_mel

FAMILIES: dict[str, type[Geometry]] = {
    "beats": BeatsGeometry,
    "ced": CedGeometry,
    "eat": EatGeometry,
    "m2d": M2dGeometry,
}
_LARGEST = 1 << 20
_LONGEST = 16000 * 3600
"""Samples: what a clip may be made as long as, an hour."""
_MOST_VALUES = 1 << 29
"""Of a spectrogram before its mel bank; an hour at the usual constants has a third of them."""
_FIXED: dict[str, dict[str, Any]] = {
    "ced": {
        **asdict(mel.CED_MEL),
        "floor": float(mel.CED_FLOOR),
        "top_db": float(mel.CED_TOP_DB),
    },
    "m2d": {**asdict(mel.M2D_MEL), "offset": float(mel.M2D_OFFSET)},
}


@dataclass(frozen=True)
class ExportedSpec:
    """An encoder's constants and its numpy part; see `firstshot.encoders.specs.base.TokenSpec`.

    Attributes
    ----------
    family : str
        `beats`, `ced`, `eat` or `m2d`.
    front_end_constants : mapping
        Of the mel spectrogram; for BEATs and EAT also `mean` and `factor`, which normalise it.
    fixed_samples : int
        Every waveform is made that long first; 0 for as it is.
    pooled : "all" or "real"
        Whether pooling averages over padding too.
    bands : tuple of (float, float)
        Lowest and highest frequency in Hz of each row of the grid.
    """

    name: str
    family: str
    geometry: Geometry
    front_end_constants: Mapping[str, Any]
    fixed_samples: int
    pooled: str
    default_layers: tuple[int, ...]
    minimum_samples: int
    bands: tuple[tuple[float, float], ...]

    @property
    def depth(self) -> int:
        """Number of layers."""
        return self.geometry.depth

    @property
    def dim(self) -> int:
        """Numbers per token."""
        return self.geometry.dim

    def front_end(
        self, waveform: NDArray[np.float32], sample_rate: int = 16000
    ) -> NDArray[np.float32]:
        """Return the spectrogram (frames, mels) of a clip (samples,) at 16 kHz."""
        if sample_rate != mel.CED_MEL.sample_rate:
            raise ParameterError(f"sample_rate {sample_rate}: {self.name} hears at 16000 Hz")
        if self.fixed_samples:
            waveform = mel.fixed_length(waveform, self.fixed_samples)
        if self.family == "ced":
            return mel.ced_decibels(waveform)
        if self.family == "m2d":
            return mel.m2d_logmel(waveform)
        return self._kaldi(waveform)

    def _kaldi(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        constants, mean, factor = self.kaldi_constants()
        log_mel = kaldi_log_mel(waveform, constants)
        if self.family == "eat":
            # Padding is of raw zeros, before the normalisation, as in the original.
            frames = self.grid(len(waveform))[0] * PATCH
            log_mel = np.pad(log_mel, ((0, frames - len(log_mel)), (0, 0)))
        log_mel -= np.float32(mean)
        log_mel *= np.float32(factor)
        return log_mel

    def kaldi_constants(self) -> tuple[KaldiMel, float, float]:
        """Return what the log-mel of BEATs and EAT is made with, its mean and its factor."""
        constants = dict(self.front_end_constants)
        mean, factor = float(constants.pop("mean")), float(constants.pop("factor"))
        return KaldiMel(**constants), mean, factor

    def grid(self, samples: int) -> tuple[int, int]:
        """Return the token grid (time, freq) of a clip of that many samples."""
        time, freq = self.geometry.grid(self.fixed_samples or samples)
        longest = getattr(self.geometry, "most_steps", time)
        if time > longest:
            raise SoundError(
                f"a clip of {samples / 16000:.1f} s is too long for {self.name}, whose positions "
                f"end at {longest * PATCH / 100:.1f} s; cut it into windows"
            )
        return time, freq

    def pooled_time(self, samples: int) -> int:
        """Return how many time steps of the grid pooling averages over."""
        every = self.grid(samples)[0]
        if self.pooled == "all":
            return every
        if isinstance(self.geometry, EatGeometry):
            return min(every, max(1, count_frames(samples) // PATCH))
        assert isinstance(self.geometry, CedGeometry)
        frames, longest = centred_frames(self.fixed_samples or samples), self.geometry.piece_frames
        if frames % longest == 0:
            return every
        return frames // longest * (longest // PATCH) + frames % longest // PATCH

    def macs(self, samples: int) -> int:
        """Return the multiply-accumulates of one clip, counted as the report does."""
        return self.geometry.macs(self.fixed_samples or samples)

    def frequency_bands(self) -> tuple[tuple[float, float], ...]:
        """Return lowest and highest frequency in Hz of each row of the grid."""
        return self.bands


def write_spec(spec: Any) -> dict[str, Any]:
    """Return a spec as JSON values."""
    family = next(name for name, kind in FAMILIES.items() if type(spec.geometry) is kind)
    constants = _FIXED.get(family) or {**asdict(spec.mel), **_normalisation(family)}
    return {
        "name": spec.name,
        "family": family,
        "geometry": asdict(spec.geometry),
        "front_end": constants,
        "fixed_samples": spec.fixed_samples,
        "pooled": getattr(spec, "pooled", "all"),
        "default_layers": list(spec.default_layers),
        "minimum_samples": spec.minimum_samples,
        "frequency_bands": [list(band) for band in spec.frequency_bands()],
    }


def _normalisation(family: str) -> dict[str, float]:
    """Return what BEATs and EAT subtract from a log-mel, and multiply it by."""
    from importlib import import_module

    module = import_module(f"firstshot.encoders.models.{family}")
    return {"mean": module.MEAN, "factor": 0.5 / module.DEVIATION}


def read_spec(values: Mapping[str, Any]) -> ExportedSpec:
    """Return the spec that `write_spec` wrote down.

    Raises
    ------
    WeightsError
        A value is missing or unknown, or a front-end constant is not what this firstshot has.
    """
    try:
        spec = _checked_spec(Table.of(values, "encoder"))
    except (TypeError, ValueError) as error:
        raise WeightsError(
            f"the encoder's description cannot be used ({error}); export the detector anew"
        ) from error
    family = spec.family
    for name, known in _FIXED.get(family, {}).items():
        if spec.front_end_constants.get(name) != known:
            raise WeightsError(
                f"{spec.name}: its front-end has {name} {spec.front_end_constants.get(name)!r} and "
                f"this firstshot {known!r}; export the detector anew with this firstshot"
            )
    return spec


def _checked_spec(table: Table) -> ExportedSpec:
    family = table.choice("family", FAMILIES)
    geometry = _geometry(family, table.table("geometry"))
    bands = tuple(_band(table.place, band) for band in table.items("frequency_bands"))
    if len(bands) != geometry.rows:
        raise ValueError(f"it has {len(bands)} frequency bands for {geometry.rows} rows")
    spec = ExportedSpec(
        name=table.line("name"),
        family=family,
        geometry=geometry,
        front_end_constants=dict(table.table("front_end").values),
        fixed_samples=table.whole("fixed_samples", 0, _LONGEST),
        pooled=table.choice("pooled", ("all", "real")),
        default_layers=table.wholes("default_layers", 1, geometry.depth),
        minimum_samples=table.whole("minimum_samples", 1, _LONGEST),
        bands=bands,
    )
    if family not in _FIXED:
        _check_kaldi(table.table("front_end"), max(spec.fixed_samples, spec.minimum_samples))
    return spec


def _geometry(family: str, table: Table) -> Geometry:
    kind: Any = FAMILIES[family]
    known = table.only(kind.__dataclass_fields__)
    geometry: Geometry = kind(**{name: known.whole(name, 0, _LARGEST) for name in known.values})
    if min(geometry.dim, geometry.depth, geometry.mels // PATCH) < 1:
        raise ValueError("encoder.geometry has no layers, rows or values")
    return geometry


def _band(place: str, band: Any) -> tuple[float, float]:
    if not isinstance(band, list) or len(band) != 2:
        raise ValueError(f"{place}.frequency_bands: expected pairs of numbers in Hz")
    pair = Table(dict(zip(("low", "high"), band, strict=True)), f"{place}.frequency_bands")
    return pair.number("low", 0.0, _LARGEST), pair.number("high", 0.0, _LARGEST)


def _check_kaldi(table: Table, samples: int) -> None:
    """Raise ValueError for constants that no log-mel of that many samples can be made with."""
    table.only(("mean", "factor", *KaldiMel.__dataclass_fields__))
    table.choice("window", ("povey", "hanning"))
    highest = {
        "mels": 1024,
        "frame": 1 << 15,
        "hop": 1 << 15,
        "fft": 1 << 15,
        "sample_rate": 192000,
    }
    for name, high in highest.items():
        table.whole(name, 1, high)
    for name in ("scale", "mean", "factor"):
        table.number(name, -_LARGEST, _LARGEST)
    if not 0 <= table.number("low") < table.number("high"):
        raise ValueError(f"{table.place}: expected low below high, in Hz")
    if samples // table.whole("hop") * table.whole("fft") > _MOST_VALUES:
        raise ValueError(f"{table.place}: the spectrogram of one clip would fill the memory")
