"""Where firstshot keeps what can be made again: embeddings, converted weights, measurements.

`$FIRSTSHOT_CACHE`, else `firstshot` in the user's cache folder: `$XDG_CACHE_HOME` where that is an
absolute path (the XDG specification has others ignored), else `.cache` in the home folder. A user
without a home folder, as in many containers, has none of the two.
"""

from __future__ import annotations

import os
from pathlib import Path

from firstshot.errors import OutputError


def cache_folder() -> Path:
    """Return the cache folder, which need not be there yet.

    Raises
    ------
    OutputError
        Nothing says where it should be; the message says what to set.

    Examples
    --------
    >>> from unittest import mock
    >>> with mock.patch.dict(os.environ, FIRSTSHOT_CACHE="/data/cache"):
    ...     cache_folder().as_posix()
    '/data/cache'
    """
    named = os.environ.get("FIRSTSHOT_CACHE")
    if named:
        return Path(named)
    folder = user_cache_folder()
    if folder is None:
        raise OutputError(
            "no cache folder: this user has no home folder, and neither FIRSTSHOT_CACHE nor "
            "XDG_CACHE_HOME names one; set FIRSTSHOT_CACHE to a folder"
        )
    return folder / "firstshot"


def user_cache_folder() -> Path | None:
    """Return the folder of all programs' caches, None for a user who has none."""
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if named.is_absolute():
        return named
    try:
        home = Path.home()
    except (RuntimeError, KeyError):  # a user id that the system does not know, and no HOME
        return None
    return home / ".cache" if home.is_absolute() else None
