"""A waveform becomes layer outputs, layer outputs an embedding.

`load_encoder(name)` finds the embedded default, the pre-trained encoders of the report, and any
plug-in that an installed package registers under the entry point ``firstshot.encoders``. Nothing
heavy is imported before an encoder that needs it is asked for.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from firstshot.encoders.protocol import Encoder
from firstshot.errors import ParameterError

ENTRY_POINT_GROUP = "firstshot.encoders"


def list_encoders() -> tuple[str, ...]:
    """Return the names that `load_encoder` knows, the embedded default first.

    >>> "logmel" in list_encoders()
    True
    """
    return tuple(sorted(_registered(), key=lambda name: (name != "logmel", name)))


def load_encoder(name: str, **settings: Any) -> Encoder:
    """Return the encoder of that name.

    Parameters
    ----------
    name : str
        One of `list_encoders()`.
    **settings
        What the encoder's own constructor takes; `logmel` takes `keep_level`.

    Raises
    ------
    ParameterError
        No encoder has that name, or it does not take a setting.

    Examples
    --------
    >>> load_encoder("logmel").depth
    2
    """
    registered = _registered()
    if name not in registered:
        raise ParameterError(
            f"encoder {name!r} is not known; choose one of: {', '.join(list_encoders())}"
        )
    try:
        encoder = registered[name].load()(**settings)
    except TypeError as error:
        raise ParameterError(f"encoder {name!r}: {error}") from error
    if not isinstance(encoder, Encoder):
        raise ParameterError(
            f"encoder {name!r}: the plug-in gives a {type(encoder).__name__}, which lacks members "
            "of firstshot.encoders.protocol.Encoder"
        )
    return encoder


def _registered() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}
