import json
import threading

import pytest
from tests.live.fakes import a_state, a_window, an_event
from tests.live.receivers import MOSQUITTO, Broker, free_port, running, wait_for

from firstshot.live.messages import State
from firstshot.live.outputs.mqtt import Broker as Settings
from firstshot.live.outputs.mqtt import Mqtt
from firstshot.live.outputs.protocol import DeliveryError, RefusedError
from firstshot.live.outputs.secrets import Secret

pytestmark = pytest.mark.skipif(
    MOSQUITTO is None, reason="no broker: install mosquitto (Debian: apt-get install mosquitto)"
)
mqtt = pytest.importorskip("paho.mqtt.client")
BASE = "firstshot/box"


class Listener:
    """Keeps the latest message of every topic that a broker has, and all in order."""

    def __init__(self, port):
        self.latest, self.all, self.said = {}, [], []
        self.subscribed = threading.Event()
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self.client.on_message = self._note
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.connect("127.0.0.1", port)
        self.client.subscribe("#", qos=1)
        self.client.loop_start()
        assert self.subscribed.wait(10)

    def _note(self, _, __, message):
        self.latest[message.topic] = message.payload.decode()
        self.all.append(message.topic)
        self.said.append((message.topic, message.payload))

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


def output_for(port, user=None, password=None):
    settings = Settings("127.0.0.1", port, False, user, password, BASE)
    return Mqtt("mqtt", settings, ["fan", "pump 2"])


def test_machines_are_announced_and_windows_states_and_events_are_published(tmp_path):
    with running(Broker(tmp_path)) as broker:
        listener, output = Listener(broker.port), output_for(broker.port)
        output.open()
        output.show(a_state(State.alarm, State.suspicious))
        output.show(a_window(state=State.alarm))
        output.show(an_event())
        output.send(an_event(), "key-1")
        wait_for(lambda: f"{BASE}/fan/event" in listener.latest)
        wait_for(lambda: len([topic for topic in listener.latest if "config" in topic]) == 12)
        assert listener.latest[f"{BASE}/availability"] == "online"
        assert json.loads(listener.latest[f"{BASE}/fan/state"])["state"] == "alarm"
        assert json.loads(listener.latest[f"{BASE}/fan/window"])["score"] == 1.5
        assert json.loads(listener.latest[f"{BASE}/fan/event"]) == {
            **an_event().as_json(),
            "key": "key-1",
        }
        assert listener.all.count(f"{BASE}/fan/event") == 1
        output.close()
        wait_for(lambda: listener.latest[f"{BASE}/availability"] == "offline")
        listener.close()


def test_after_a_restart_of_the_broker_all_is_there_again_within_ten_seconds(tmp_path):
    with running(Broker(tmp_path)) as broker:
        output = output_for(broker.port)
        output.open()
        output.show(a_state(State.blind, State.normal))
        broker.stop()  # it keeps nothing on disk
        with pytest.raises(DeliveryError):
            wait_for(lambda: output.send(an_event(), "key-1"), 5)
        broker.start()
        listener = Listener(broker.port)
        wait_for(lambda: len([topic for topic in listener.latest if "config" in topic]) == 12)
        wait_for(lambda: f"{BASE}/fan/state" in listener.latest)
        assert listener.latest[f"{BASE}/availability"] == "online"
        assert json.loads(listener.latest[f"{BASE}/fan/state"])["state"] == "blind"
        output.send(an_event(), "key-1")
        listener.close()
        output.close()


def test_all_is_told_again_when_home_assistant_has_started(tmp_path):
    with running(Broker(tmp_path)) as broker:
        output = output_for(broker.port)
        output.open()
        output.show(a_state(State.normal, State.learning))
        listener = Listener(broker.port)
        wait_for(lambda: f"{BASE}/fan/state" in listener.latest)
        listener.all.clear()
        listener.client.publish("homeassistant/status", "online")
        wait_for(lambda: len([topic for topic in listener.all if "config" in topic]) == 12)
        wait_for(lambda: f"{BASE}/fan/state" in listener.all)
        listener.close()
        output.close()


def test_a_process_that_dies_is_offline_by_its_last_will(tmp_path):
    with running(Broker(tmp_path)) as broker:
        output, listener = output_for(broker.port), Listener(broker.port)
        output.open()
        wait_for(lambda: listener.latest.get(f"{BASE}/availability") == "online")
        output._client._sock_close()  # what a kill does: no DISCONNECT is sent
        wait_for(lambda: (f"{BASE}/availability", b"offline") in listener.said)
        output.close()
        listener.close()


def test_a_refused_password_is_one_line_that_does_not_tell_it(tmp_path):
    with running(Broker(tmp_path, ("box", "right"))) as broker:
        output = output_for(broker.port, "box", Secret("right"))
        output.open()
        output.close()
        with pytest.raises(RefusedError) as caught:
            output_for(broker.port, "box", Secret("wrong-one")).open()
        said = str(caught.value)
        assert said.startswith(f"the broker 127.0.0.1:{broker.port} refuses user box (")
        assert "wrong-one" not in said
        with pytest.raises(RefusedError, match="refuses a client without user"):
            output_for(broker.port).open()


def test_a_broker_that_is_away_is_tried_again_in_the_background(tmp_path, monkeypatch):
    monkeypatch.setattr("firstshot.live.outputs.mqtt._TIMEOUT", 0.3)
    output = output_for(free_port())
    with pytest.raises(DeliveryError, match="does not answer"):
        output.open()
    output.show(a_state(State.normal, State.learning))
    with pytest.raises(DeliveryError, match="no connection"):
        output.send(an_event(), "key-1")
    output.close()
