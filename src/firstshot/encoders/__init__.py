"""A waveform becomes layer outputs, layer outputs an embedding.

`load_encoder(name)` finds the embedded encoders, the pre-trained ones, and any
plug-in that an installed package registers under the entry point ``firstshot.encoders``. A heavy
library is imported when an encoder that needs it is loaded.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstshot import plugins
from firstshot.encoders.protocol import Encoder
from firstshot.encoders.weights.catalog import ENCODERS
from firstshot.encoders.weights.trained_file import SUFFIX, is_trained_name
from firstshot.errors import ParameterError, WeightsError, warn
from firstshot.messages import choose_one_of

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINT_GROUP = "firstshot.encoders"
WITHOUT_WEIGHTS = {
    "logmel": "firstshot.encoders.logmel:LogMel",
    "spectra": "firstshot.encoders.spectra:Spectra",
}
"""The embedded encoders, found as plug-ins are."""


def list_encoders() -> tuple[str, ...]:
    """Return the names that `load_encoder` knows: without weights, pre-trained, plug-ins.

    >>> list_encoders()[:3]
    ('logmel', 'spectra', 'beats_ft1')
    """
    own = (*WITHOUT_WEIGHTS, *ENCODERS)
    return (*own, *sorted(registered().keys() - set(own)))


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
        One of `list_encoders()`, or the path of a file that `firstshot train` wrote.
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
        `micro_batch`, `fixed_samples`, `variant`, `pooled`, `output`, `least_frames`, `level`.

    Raises
    ------
    ParameterError
        No encoder has that name, or it does not take a setting.
    MissingLibraryError
        PyTorch, or the library that fetches weights, is not installed.
    DownloadError
        The weights cannot be fetched.
    WeightsError
        The weights are missing, damaged or another encoder's.
    OutputError
        Weights were fetched and the cache cannot be written.

    Examples
    --------
    >>> load_encoder("logmel").depth
    2
    """
    given = {"weights": (weights, None), "device": (device, "cpu"), "dtype": (dtype, "float32")}
    # Others than the pre-trained need to know of these only where a user asks for them.
    chosen = {key: value for key, (value, usual) in given.items() if value != usual}
    if is_trained_name(name):
        from firstshot.encoders.loading import load_trained

        return load_trained(Path(name), **{**chosen, **settings})
    record = ENCODERS.get(name)
    if record is None:
        return _load_registered(name, {**chosen, **settings})
    if name in registered():
        warn(
            f"a plug-in is called {name} like the encoder of firstshot, which is used; rename it",
        )
    from firstshot.encoders.loading import load_pretrained

    return load_pretrained(record, weights, device, dtype, fetch_missing, **settings)


def registered() -> dict[str, tuple[EntryPoint, ...]]:
    """Return the entry points by name, importing none; several where packages claim one name."""
    return plugins.registered(ENTRY_POINT_GROUP, WITHOUT_WEIGHTS)


def _load_registered(name: str, settings: dict[str, Any]) -> Encoder:
    if name not in registered():
        raise ParameterError(
            f"encoder {name!r} is not known; {choose_one_of(name, list_encoders())}, or name a "
            f"{SUFFIX} file of `firstshot train`"
        )
    points = registered()[name]
    factory, label = plugins.load_plugin(points, "encoder", name, WeightsError)
    run_by = {key: settings[key] for key in ("precision", "runtime") if key in settings}
    try:
        inspect.signature(factory).bind_partial(**run_by)
    except TypeError as error:
        raise ParameterError(
            f"encoder {name!r} has one runtime, its own; leave {' and '.join(run_by)} out"
        ) from error
    encoder: Encoder = plugins.make_from_plugin(factory, label, settings, Encoder)
    if not callable(encoder.frequency_bands) or not callable(encoder.dim):
        raise ParameterError(
            f"{label} has one frequency_bands and one dim for all layers; make both functions of "
            "the layer, as in docs/plugin.md"
        )
    return encoder
