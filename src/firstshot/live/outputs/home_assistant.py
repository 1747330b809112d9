"""What Home Assistant is told of a machine, so that it shows up there by itself.

Input: a machine's name and the topics of its messages. Output: topics with the entities' settings,
as Home Assistant's MQTT discovery defines them. A machine that cannot be judged is not "no alarm":
its alarm and its scores are unavailable then.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from firstshot.version import __version__

STATUS_TOPIC = "status"
"""Below the discovery prefix; Home Assistant says "online" there when it has started."""
ALARM_STATES = ("alarm", "recovering")


@dataclass(frozen=True)
class Topics:
    """Where a machine's messages are published, below a base topic of the process.

    >>> Topics("firstshot/box", "Fan 3/left").state
    'firstshot/box/fan_3_left/state'
    """

    base: str
    machine: str

    @property
    def slug(self) -> str:
        """The machine's name in letters that a topic and an entity may have."""
        return slug_of(self.machine)

    @property
    def availability(self) -> str:
        """Whether the process listens: "online", or "offline" as its last will."""
        return f"{self.base}/availability"

    @property
    def state(self) -> str:
        """The machine's state; kept by the broker."""
        return f"{self.base}/{self.slug}/state"

    @property
    def window(self) -> str:
        """Every window."""
        return f"{self.base}/{self.slug}/window"

    @property
    def event(self) -> str:
        """Every beginning and end of an event."""
        return f"{self.base}/{self.slug}/event"


def slug_of(name: str) -> str:
    """Return a name in lower-case ASCII letters, digits and underscores.

    >>> slug_of("Lüfter 3")
    'l_fter_3'
    """
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "machine"


def discovery(topics: Topics, prefix: str = "homeassistant") -> dict[str, dict[str, Any]]:
    """Return the settings of each entity of a machine, by the topic that they are published to."""
    device = f"{topics.base.replace('/', '_')}_{topics.slug}"
    common = {
        "device": {
            "identifiers": [device],
            "name": topics.machine,
            "manufacturer": "firstshot",
            "sw_version": __version__,
        },
        "origin": {"name": "firstshot", "sw_version": __version__},
    }
    return {
        f"{prefix}/{component}/{device}_{entity}/config": {
            "unique_id": f"{device}_{entity}",
            **common,
            **settings,
        }
        for (component, entity), settings in _entities(topics).items()
    }


def _entities(topics: Topics) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what differs between the entities, by component and name."""
    process = {"topic": topics.availability}
    sees = {"topic": topics.state, "value_template": _chosen("offline", "online", ["blind"])}
    listening = {"availability": [process]}
    judged = {"availability": [process, sees], "availability_mode": "all"}
    of_state = {"state_topic": topics.state}
    number = {"state_topic": topics.window, "state_class": "measurement"}
    problem = {"device_class": "problem", **of_state}
    diagnostic = {"entity_category": "diagnostic"}
    alarm, blind = _chosen("ON", "OFF", ALARM_STATES), _chosen("ON", "OFF", ["blind"])
    return {
        ("binary_sensor", "alarm"): {
            "name": "Alarm", "value_template": alarm, **problem, **judged,
        },
        ("binary_sensor", "blind"): {
            "name": "No usable sound", "value_template": blind,
            **problem, **diagnostic, **listening,
        },
        ("sensor", "state"): {
            "name": "State", "value_template": _field("state"),
            "json_attributes_topic": topics.state, **of_state, **listening,
        },
        ("sensor", "score"): {
            "name": "Score", "value_template": _field("score"), **number, **judged,
        },
        ("sensor", "threshold"): {
            "name": "Threshold", "value_template": _field("threshold"),
            **number, **diagnostic, **judged,
        },
        ("sensor", "level"): {
            "name": "Level", "value_template": _field("level_dbfs"),
            "unit_of_measurement": "dB", **number, **diagnostic, **listening,
        },
    }  # fmt: skip


def _field(name: str) -> str:
    return f"{{{{ value_json.{name} }}}}"


def _chosen(chosen: str, other: str, states: Sequence[str]) -> str:
    """Return a template that gives one word in some states and another in all others.

    >>> _chosen("ON", "OFF", ["blind"])
    "{{ 'ON' if value_json.state in ['blind'] else 'OFF' }}"
    """
    return f"{{{{ '{chosen}' if value_json.state in {list(states)} else '{other}' }}}}"
