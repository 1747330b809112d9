"""A system, its complexity and its results become the meta file that goes with a submission.

Input: a stored run's system, the submission's label and authors. Output: YAML text. No public copy
of the official template for this task is available; the field names are those of a participant's
file of 2025 and of the common part of the DCASE templates. A comment marks what is not certain, and
what only the authors can fill in.

Strings have double quotes and JSON's escapes, which YAML reads in the same way, so that no YAML
library is necessary.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from firstshot.complexity import AUTOENCODER, TEN_SECONDS, Complexity, complexity
from firstshot.dcase.running.stored_run import StoredRun
from firstshot.encoders import load_encoder
from firstshot.encoders.specs import SPECS
from firstshot.errors import ParameterError

LONGEST_ABBREVIATION = 10
_HEADER = (
    "Meta information of a submission to DCASE Challenge Task 2.",
    "The official template of this task was not available: compare the fields with the one on the",
    "challenge's page. [unsure] the name or place of a field can differ; [fill in] is for you.",
)

_WORDS = ("null", "true", "false", "yes", "no", "on", "off", "y", "n")  # not strings in YAML


@dataclass(frozen=True)
class Note:
    """A value and the comment behind it."""

    value: Any
    comment: str


def check_team(team: str) -> str:
    """Return the team's name if a label and a folder can contain it.

    >>> check_team("Curie_IdR")
    'Curie_IdR'
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", team):
        raise ParameterError(
            f"team {team!r}: use letters, digits, - and _ only, as Lastname_Institute"
        )
    return team


def system_complexity(system: Mapping[str, Any]) -> Complexity:
    """Return the cost of a 10 s clip for a run's system: all encoders, or the baseline.

    >>> round(system_complexity({"encoders": [{"name": "ced_tiny"}]}).macs / 1e9, 2)
    1.33
    """
    name = str(system.get("name", ""))
    encoders = _encoders(system)
    names = (name, *(key for key, value in system.items() if value))
    if not encoders and any("baseline" in text or AUTOENCODER in text for text in names):
        return complexity(AUTOENCODER)
    if not encoders:
        raise ParameterError(f"system {name!r} names no encoder, so its complexity is not known")
    parts = [_encoder_complexity(choice) for choice in encoders]
    return Complexity(
        name,
        TEN_SECONDS,
        sum(part.macs for part in parts),
        sum(part.macs_with_attention for part in parts),
        sum(part.parameters for part in parts),
        sum(part.learned_parameters for part in parts),
    )


def _encoder_complexity(choice: Mapping[str, Any]) -> Complexity:
    name = str(choice["name"])
    if name in SPECS:
        return complexity(name)
    # The embedded encoder and plug-ins count themselves, without attention products.
    encoder = load_encoder(name, **dict(choice.get("settings") or {}))
    macs, parameters = encoder.macs(round(10 * encoder.sample_rate)), encoder.parameters
    return Complexity(name, TEN_SECONDS, macs, macs, parameters, parameters)


def meta_text(
    label: str, run: StoredRun, authors: Sequence[str], development: StoredRun | None
) -> str:
    """Return the meta file of one system, ``label`` as Lastname_Institute_task2_1.

    `development` is a run of the system with labels, if there is one.
    """
    cost = system_complexity(run.system)
    content = {
        "submission": {
            "label": label,
            "name": run.name,
            "abbreviation": Note(run.name[:LONGEST_ABBREVIATION], "10 characters at most"),
            "authors": [_author(name, first=not i) for i, name in enumerate(authors)]
            or Note(None, "[fill in] give --author"),
        },
        "system": {
            "description": _description(run.system),
            "complexity": {
                "total_parameters": cost.parameters,
                "MACS": Note(cost.macs, "multiply-accumulates for a clip of 10 s, as thop counts"),
                "MACS_with_attention": Note(
                    cost.macs_with_attention, "[unsure] not required; attention products counted"
                ),
            },
            "external_datasets": Note(
                _datasets(run.system), "[unsure] [fill in] what the encoders were trained on"
            ),
            "source_code": Note(None, "[fill in] an address, or leave it empty"),
        },
        "results": {"development_dataset": _results(development)},
    }
    lines = [f"# {line}" for line in _HEADER]
    return "\n".join([*lines, *write_yaml(content)]) + "\n"


def _author(name: str, first: bool) -> dict[str, Any]:
    firstname, _, lastname = name.strip().rpartition(" ")
    return {
        "lastname": lastname,
        "firstname": firstname,
        "email": Note(None, "[fill in]"),
        "corresponding": Note(first, "the first author named"),
        "affiliation": Note(None, "[fill in] [unsure] institute, department, location"),
    }


def _description(system: Mapping[str, Any]) -> dict[str, Any]:
    choices = _encoders(system)
    names = [str(choice["name"]) for choice in choices]
    known = ("layers", "pooling", "combine", "normalizer", "normalizer_settings", "metric")
    settings = {key: system[key] for key in (*known, "transform", "length") if key in system}
    several = len(names) > 1 or len(system.get("views") or ()) > 1
    return {
        "summary": Note(str(system.get("description", "")), "[unsure]"),
        "embeddings": Note(names, "[unsure] frozen encoders"),
        "layers": [list(choice.get("layers") or ()) for choice in choices],
        "ensemble_method": Note("average of scores" if several else None, "[unsure]"),
        "settings": Note(settings, "[unsure] not required"),
    }


def _encoders(system: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return every encoder of a system with its layers, whether named by itself or in views."""
    found = [dict(choice) for choice in system.get("encoders") or ()]
    for view in system.get("views") or ():
        own = {"name": view["encoder"], "settings": view.get("encoder_settings") or {}}
        same = [one for one in found if {**one, "layers": None} == {**own, "layers": None}]
        if not same:
            found.append({**own, "layers": [view["layer"]]})
        elif view["layer"] not in same[0]["layers"]:
            same[0]["layers"].append(view["layer"])
    return found


def _datasets(system: Mapping[str, Any]) -> list[str]:
    trained = [str(c["name"]) for c in _encoders(system) if c["name"] in SPECS]
    return [f"training data of {name}" for name in trained]


def _results(development: StoredRun | None) -> Any:
    if development is None:
        return Note(None, "[fill in] no run with labels was named; give --development RUN_DIR")
    machines: dict[str, dict[str, Any]] = {}
    several = len({s.machine for s in development.sections}) < len(development.sections)
    for section in development.sections:
        key = section.name if several else section.machine
        names = ("auc_source", "auc_target", "pauc")
        machines[key] = {
            name: round(100 * section.metrics[name], 4) for name in names if name in section.metrics
        }
    return Note(machines, "[unsure] percent")


def write_yaml(content: Any, indent: int = 0) -> list[str]:
    r"""Return the lines of a YAML document: mappings and lists of plain values, with comments.

    >>> print("\n".join(write_yaml({"a": [1, "x: y"], "b": {"c": Note(None, "why")}})))
    a:
      - 1
      - "x: y"
    b:
      c: null  # why
    """
    space = "  " * indent
    lines = []
    for name, value in content.items():
        value, comment = (value.value, value.comment) if isinstance(value, Note) else (value, "")
        comment = f"  # {comment}" if comment else ""
        plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) and name.lower() not in _WORDS
        key = name if plain else _scalar(name)
        if isinstance(value, dict) and value:
            lines += [f"{space}{key}:{comment}", *write_yaml(value, indent + 1)]
        elif isinstance(value, (list, tuple)) and value:
            lines.append(f"{space}{key}:{comment}")
            for item in value:
                lines += _item(item, indent + 1)
        else:
            lines.append(f"{space}{key}: {_scalar(value)}{comment}")
    return lines


def _item(item: Any, indent: int) -> list[str]:
    space = "  " * indent
    if not isinstance(item, dict):
        return [f"{space}- {_scalar(item)}"]
    first, *others = write_yaml(item, indent + 1)
    return [f"{space}- {first.lstrip()}", *others]


def _scalar(value: Any) -> str:
    """Write one value; a list in one line, an unprintable character as YAML's escape."""
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_scalar(item) for item in value) + "]"
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08X}" for c in text)
