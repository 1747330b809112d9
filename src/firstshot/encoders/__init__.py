"""A waveform becomes layer outputs, layer outputs an embedding.

`load_encoder(name)` finds the embedded default, the pre-trained encoders of the report, and any
plug-in that an installed package registers under the entry point ``firstshot.encoders``. A heavy
library is imported when an encoder that needs it is loaded.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstshot.encoders.protocol import Encoder
from firstshot.encoders.weights.catalog import ENCODERS
from firstshot.errors import FirstshotError, ParameterError, WeightsError, warn
from firstshot.messages import choose_one_of

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINT_GROUP = "firstshot.encoders"


def list_encoders() -> tuple[str, ...]:
    """Return the names that `load_encoder` knows: the embedded default, pre-trained, plug-ins.

    >>> list_encoders()[:3]
    ('logmel', 'beats_ft1', 'm2d_clap')
    """
    plugins = sorted(name for name in registered() if name != "logmel" and name not in ENCODERS)
    return ("logmel", *ENCODERS, *plugins)


def load_encoder(
    name: str,
    weights: str | Path | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    fetch_missing: bool = True,
    **settings: Any,
) -> Encoder:
    """Return the encoder of that name, ready to encode.

    Parameters
    ----------
    name : str
        One of `list_encoders()`.
    weights : str or Path, optional
        A weights file as published; None takes what the cache has, else what the hub has.
    device : str
        Where a pre-trained encoder runs: `cpu`, `cuda`, `cuda:1`, `mps`.
    dtype : str
        What it computes in: `float32`, `float64`, `float16` or `bfloat16`; outputs are float32.
    fetch_missing : bool
        Whether published weights that are not on this machine are fetched from the hub.
    **settings
        What else the encoder takes, see docs/encoders.md: `keep_level` (logmel); `last_layer`,
        `micro_batch`, `fixed_samples`, `variant`, `pooled`, `output`, `least_frames`.

    Raises
    ------
    ParameterError
        No encoder has that name, or it does not take a setting.
    WeightsError
        PyTorch is missing; the weights are missing, damaged or another encoder's.
    OutputError
        Weights were fetched and the cache cannot be written.

    Examples
    --------
    >>> load_encoder("logmel").depth
    2
    """
    record = ENCODERS.get(name)
    if record is None:
        given = {"weights": (weights, None), "device": (device, "cpu"), "dtype": (dtype, "float32")}
        # A plug-in needs to know of these only where a user asks for them.
        chosen = {key: value for key, (value, usual) in given.items() if value != usual}
        return _load_registered(name, {**chosen, **settings})
    if name in registered():
        warn(
            f"a plug-in is called {name} like the encoder of firstshot, which is used; rename it",
        )
    from firstshot.encoders.loading import load_pretrained

    return load_pretrained(record, weights, device, dtype, fetch_missing, **settings)


def registered() -> dict[str, tuple[EntryPoint, ...]]:
    """Return the entry points by name, importing none; several where packages claim one name."""
    from importlib.metadata import entry_points

    found: dict[str, dict[str, EntryPoint]] = {}
    for point in entry_points(group=ENTRY_POINT_GROUP):
        found.setdefault(point.name, {}).setdefault(point.value, point)
    return {name: tuple(points.values()) for name, points in found.items()}


def _load_registered(name: str, settings: dict[str, Any]) -> Encoder:
    points = registered().get(name, ())
    if not points:
        raise ParameterError(
            f"encoder {name!r} is not known; {choose_one_of(name, list_encoders())}"
        )
    if len(points) > 1:
        claims = " and ".join(point.value for point in points)
        raise ParameterError(f"encoder {name!r} is claimed by {claims}; uninstall one of them")
    try:
        factory = points[0].load()
    except (ImportError, AttributeError) as error:
        raise WeightsError(
            f"encoder {name!r}: its plug-in {points[0].value} cannot be imported ({error}); "
            "install what it needs, or uninstall it"
        ) from error
    run_by = sorted({"runtime", "precision"} & set(settings))
    try:
        inspect.signature(factory).bind(**settings)
    except TypeError as error:
        if run_by:
            raise ParameterError(
                f"encoder {name!r} has one runtime, its own; leave {' and '.join(run_by)} out"
            ) from error
        raise ParameterError(f"encoder {name!r} does not take this setting: {error}") from error
    try:
        encoder = factory(**settings)
    except FirstshotError:
        raise
    except Exception as error:
        # A plug-in may raise anything; the message names the plug-in, not firstshot.
        raise ParameterError(
            f"encoder {name!r}: its plug-in {points[0].value} failed "
            f"({type(error).__name__}: {error})"
        ) from error
    if not isinstance(encoder, Encoder):
        raise ParameterError(
            f"encoder {name!r}: the plug-in gives a {type(encoder).__name__}, which lacks members "
            "of firstshot.encoders.protocol.Encoder"
        )
    return encoder
