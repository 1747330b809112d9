"""What installed packages register under an entry point, found by name and made on demand.

Input: an entry point group, a name, settings. Output: the object that the plug-in makes. A plug-in
is imported only when it is asked for by name. An error inside a plug-in names the plug-in.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any

from firstshot.errors import FirstshotError, ParameterError


def registered(
    group: str, own: Mapping[str, str] = MappingProxyType({})
) -> dict[str, tuple[EntryPoint, ...]]:
    """Return the entry points by name, importing none; several where packages claim one name.

    `own` are firstshot's own of this group, "module:object" by name; installed packages add theirs.
    """
    found: dict[str, dict[str, EntryPoint]] = {}
    ours = (EntryPoint(name, value, group) for name, value in own.items())
    for point in (*ours, *entry_points(group=group)):
        found.setdefault(point.name, {}).setdefault(point.value, point)
    return {name: tuple(points.values()) for name, points in found.items()}


def load_plugin(
    points: Sequence[EntryPoint],
    what: str,
    name: str,
    absent: type[FirstshotError] = ParameterError,
) -> tuple[Callable[..., Any], str]:
    """Return what a plug-in registers, and what to call it in messages.

    Parameters
    ----------
    points : sequence of EntryPoint
        What `registered` has under the name.
    what : str
        For messages: "encoder", "normaliser".
    name : str
        The name.
    absent : type
        The error where the plug-in cannot be imported.

    Raises
    ------
    ParameterError
        Several packages claim the name.
    FirstshotError
        The plug-in cannot be imported.
    """
    if len(points) > 1:
        claims = " and ".join(point.value for point in points)
        raise ParameterError(f"{what} {name!r} is claimed by {claims}; uninstall one of them")
    package = f" of the package {points[0].dist.name}" if points[0].dist else ""
    label = f"{what} {name!r}: its plug-in {points[0].value}{package}"
    try:
        return points[0].load(), label
    except (ImportError, AttributeError) as error:
        raise absent(
            f"{label} cannot be imported ({error}); install what it needs, or uninstall it"
        ) from error


def make_from_plugin(
    factory: Callable[..., Any], label: str, settings: dict[str, Any], protocol: type
) -> Any:
    """Return what a plug-in makes of settings; `label` as `load_plugin` gives it.

    Raises
    ------
    ParameterError
        The plug-in does not take a setting, fails, or makes something that lacks members of
        `protocol`.
    """
    what = label.partition(":")[0]
    try:
        inspect.signature(factory).bind(**settings)
    except TypeError as error:
        raise refused_settings(what, factory, settings, error) from error
    try:
        made = factory(**settings)
    except FirstshotError:
        raise
    except Exception as error:
        # A plug-in may raise anything; the message names the plug-in, not firstshot.
        raise ParameterError(f"{label} failed ({type(error).__name__}: {error})") from error
    if not isinstance(made, protocol):
        raise ParameterError(
            f"{label} gives a {type(made).__name__}, which lacks members of "
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
