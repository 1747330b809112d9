"""What Home Assistant is told of a machine, so that it shows up there by itself.

Input: a machine's name and the topics of its messages. Output: topics with the entities' settings,
as Home Assistant's MQTT discovery defines them. A machine that cannot be judged is not "no alarm":
its alarm and its scores are unavailable then.
"""

from __future__ import annotations

import re
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
    is_alarm = f"value_json.state in {list(ALARM_STATES)}"
    process = {"topic": topics.availability}
    sees = {
        "topic": topics.state,
        "value_template": "{{ 'offline' if value_json.state == 'blind' else 'online' }}",
    }
    judged = {"availability": [process, sees], "availability_mode": "all"}
    listening = {"availability": [process]}
    number = {"state_topic": topics.window, "state_class": "measurement"}
    entities: dict[tuple[str, str], dict[str, Any]] = {
        ("binary_sensor", "alarm"): {
            "name": "Alarm",
            "device_class": "problem",
            "state_topic": topics.state,
            "value_template": "{{ 'ON' if " + is_alarm + " else 'OFF' }}",
            **judged,
        },
        ("binary_sensor", "blind"): {
            "name": "No usable sound",
            "device_class": "problem",
            "entity_category": "diagnostic",
            "state_topic": topics.state,
            "value_template": "{{ 'ON' if value_json.state == 'blind' else 'OFF' }}",
            **listening,
        },
        ("sensor", "state"): {
            "name": "State",
            "state_topic": topics.state,
            "value_template": "{{ value_json.state }}",
            "json_attributes_topic": topics.state,
            **listening,
        },
        ("sensor", "score"): {
            "name": "Score",
            "value_template": "{{ value_json.score }}",
            **number,
            **judged,
        },
        ("sensor", "threshold"): {
            "name": "Threshold",
            "entity_category": "diagnostic",
            "value_template": "{{ value_json.threshold }}",
            **number,
            **judged,
        },
        ("sensor", "level"): {
            "name": "Level",
            "unit_of_measurement": "dB",
            "entity_category": "diagnostic",
            "value_template": "{{ value_json.level_dbfs }}",
            **number,
            **listening,
        },
    }
    device = {
        "identifiers": [topics.base.replace("/", "_") + "_" + topics.slug],
        "name": topics.machine,
        "manufacturer": "firstshot",
        "sw_version": __version__,
    }
    origin = {"name": "firstshot", "sw_version": __version__}
    found = {}
    for (component, entity), settings in entities.items():
        unique = f"{device['identifiers'][0]}_{entity}"
        found[f"{prefix}/{component}/{unique}/config"] = {
            "unique_id": unique,
            "device": device,
            "origin": origin,
            **settings,
        }
    return found
