"""A machine listened to day and night: windows of a stream, the alarm rule, states and events.

`Stream` cuts a stream of sound into windows and scores them; `firstshot watch` is built on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from firstshot.live.stream import Stream, Window

__all__ = ["Stream", "Window"]


def __getattr__(name: str) -> Any:
    # Messages and outputs need no detector, and are imported without one.
    if name in __all__:
        from firstshot.live import stream

        return getattr(stream, name)
    raise AttributeError(f"module 'firstshot.live' has no attribute {name!r}")
