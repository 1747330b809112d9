"""A training's state between two epochs becomes a file, from which the training can continue.

A checkpoint is one safetensors file of arrays. It is replaced as a whole after every epoch, so a
training that was killed continues from the last complete epoch. Its name is the hash of everything
that the training's numbers depend on, and its header holds that hash and the digest of the arrays.
A file that does not agree with them is renamed, with a warning.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

from numpy.typing import NDArray

from firstshot.disk.caches import pack_arrays, unpack_arrays, warn_of_damage
from firstshot.disk.files import write_result
from firstshot.errors import warn

Arrays: TypeAlias = dict[str, NDArray[Any]]


def write_checkpoint(path: Path, arrays: Arrays) -> None:
    """Replace the checkpoint as a whole; raises `OutputError` where it cannot be written."""
    write_result(path, pack_arrays(path.stem, arrays))


def read_checkpoint(path: Path) -> Arrays | None:
    """Return a checkpoint's arrays, or None where there is none; a damaged one is renamed."""
    try:
        return unpack_arrays(path.stem, path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        warn(f"{path}: not readable as a checkpoint ({reason}); training starts again")
    except ValueError as error:
        refuse_checkpoint(path, error)
    return None


def refuse_checkpoint(path: Path, reason: Exception) -> None:
    """Rename a checkpoint from which training cannot continue, and warn."""
    text = " ".join(str(reason).split())
    warn_of_damage(path, f"not readable as a checkpoint ({text})", "training starts again")
