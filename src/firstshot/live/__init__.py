"""A machine listened to day and night: windows of a stream, the alarm rule, states and events.

`Stream` cuts a stream of sound into windows and scores them; `firstshot watch` is built on it.
"""

from firstshot.live.stream import Stream, Window

__all__ = ["Stream", "Window"]
