"""The command `firstshot`, also as `python -m firstshot`: Ctrl-C is one line from the first moment.

The import of the program takes a tenth of a second or more. An interrupt during the import would be
a traceback, or another error inside a library's own import. No work has begun then, so the process
ends where it is; likewise after the work. In between, `firstshot.cli` handles the interrupt. While
Python itself ends no handler can run; all results are written by then, and interrupts are ignored.
"""

from __future__ import annotations

import atexit
import os
import signal
from contextlib import suppress

INTERRUPTED = 128 + 2
atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)


def main() -> None:
    """Run the command line."""
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler:  # a program in the background may ignore it
        signal.signal(signal.SIGINT, _leave)
    from firstshot.cli import main as run

    signal.signal(signal.SIGINT, usual)
    try:
        run()
    except KeyboardInterrupt:
        _leave()
    finally:
        if usual is signal.default_int_handler:
            signal.signal(signal.SIGINT, _leave)


def _leave(*_: object) -> None:
    with suppress(OSError):
        os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
