"""What installed packages register under an entry point, found by name and made on demand.

Input: an entry point group, a name, settings. Output: the object that the plug-in makes. Nothing is
imported before it is asked for by name, and whatever a plug-in raises is told as its own fault.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from firstshot.errors import FirstshotError, ParameterError


def registered(group: str) -> dict[str, tuple[EntryPoint, ...]]:
    """Return the entry points by name, importing none; several where packages claim one name."""
    found: dict[str, dict[str, EntryPoint]] = {}
    for point in entry_points(group=group):
        found.setdefault(point.name, {}).setdefault(point.value, point)
    return {name: tuple(points.values()) for name, points in found.items()}


def load_plugin(group: str, what: str, name: str) -> tuple[Callable[..., Any], str]:
    """Return what a plug-in registers, and what to call it in messages.

    Parameters
    ----------
    group : str
        The entry point group.
    what : str
        For messages: "encoder", "normaliser".
    name : str
        A name of `registered(group)`.

    Raises
    ------
    ParameterError
        Several packages claim the name, or the plug-in cannot be imported.
    """
    points = registered(group)[name]
    if len(points) > 1:
        claims = " and ".join(point.value for point in points)
        raise ParameterError(f"{what} {name!r} is claimed by {claims}; uninstall one of them")
    told = f"{what} {name!r}: its plug-in {points[0].value}"
    try:
        return points[0].load(), told
    except (ImportError, AttributeError) as error:
        raise ParameterError(
            f"{told} cannot be imported ({error}); install what it needs, or uninstall it"
        ) from error


def make_from_plugin(
    factory: Callable[..., Any], told: str, settings: dict[str, Any], protocol: type
) -> Any:
    """Return what a plug-in makes of settings; `told` as `load_plugin` gives it.

    Raises
    ------
    ParameterError
        The plug-in does not take a setting, fails, or makes something that lacks members of
        `protocol`.
    """
    what = told.partition(":")[0]
    try:
        inspect.signature(factory).bind(**settings)
    except TypeError as error:
        raise refused_settings(what, factory, settings, error) from error
    try:
        made = factory(**settings)
    except FirstshotError:
        raise
    except Exception as error:
        # A plug-in may raise anything; it is its fault that is told of, not a fault of ours.
        raise ParameterError(f"{told} failed ({type(error).__name__}: {error})") from error
    if not isinstance(made, protocol):
        raise ParameterError(
            f"{told} gives a {type(made).__name__}, which lacks members of "
            f"{protocol.__module__}.{protocol.__name__}"
        )
    return made


def refused_settings(
    what: str, factory: Callable[..., Any], settings: dict[str, Any], error: TypeError
) -> ParameterError:
    """Return the error for settings that a factory cannot be called with."""
    known = inspect.signature(factory).parameters
    unknown = sorted(settings.keys() - known.keys())
    if unknown:
        return ParameterError(
            f"{what} takes no {' and no '.join(unknown)}; leave {' and '.join(unknown)} out"
        )
    return ParameterError(f"{what} does not take these settings: {error}")
