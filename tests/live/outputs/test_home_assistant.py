import json

from firstshot.live.outputs.home_assistant import Topics, discovery


def test_every_entity_has_an_id_of_its_own_and_one_device():
    found = discovery(Topics("firstshot/box", "Fan 3"))
    assert json.loads(json.dumps(found)) == found
    ids = [settings["unique_id"] for settings in found.values()]
    assert len(set(ids)) == len(ids) == 6
    assert {settings["device"]["identifiers"][0] for settings in found.values()} == {
        "firstshot_box_fan_3"
    }
    assert "homeassistant/binary_sensor/firstshot_box_fan_3_alarm/config" in found


def test_an_alarm_and_a_score_are_unavailable_while_the_machine_is_blind():
    found = discovery(Topics("firstshot/box", "fan"))
    for entity in ("binary_sensor/firstshot_box_fan_alarm", "sensor/firstshot_box_fan_score"):
        settings = found[f"homeassistant/{entity}/config"]
        assert settings["availability_mode"] == "all"
        assert "'blind'" in settings["availability"][1]["value_template"]
    alarm = found["homeassistant/binary_sensor/firstshot_box_fan_alarm/config"]
    assert alarm["value_template"] == (
        "{{ 'ON' if value_json.state in ['alarm', 'recovering'] else 'OFF' }}"
    )
    state = found["homeassistant/sensor/firstshot_box_fan_state/config"]
    assert state["availability"] == [{"topic": "firstshot/box/availability"}]
