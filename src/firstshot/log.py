"""What the package does is logged under the name `firstshot`; only the command line prints.

Info: what takes long and why (a download, a wait for another process). Warning: something is tried
again. What a careful user should know of a result is not logged: it is a `FirstshotWarning`. A
program that wants to see the log adds a handler, as `logging.basicConfig(level="INFO")` does.
"""

from __future__ import annotations

import logging

logger = logging.getLogger("firstshot")
logger.addHandler(logging.NullHandler())
