from tests.live.fakes import START, a_state, an_event, its_end

from firstshot.live.messages import State
from firstshot.live.outputs.delivery.outbox import Waiting
from firstshot.live.outputs.delivery.storms import next_message
from firstshot.live.outputs.protocol import key_of

PAUSE = {"alarm of fan": 100.0}


def waiting(*reports):
    return [Waiting(key_of(report), START, report) for report in reports]


def test_an_event_is_told_at_once_and_begins_a_pause_of_its_machine_and_kind():
    message = next_message(waiting(an_event()), {})
    assert (message.report, message.keys) == (an_event(), (key_of(an_event()),))
    assert message.pause == "alarm of fan"


def test_in_the_pause_events_of_other_machines_and_kinds_are_told():
    held = an_event(1)
    assert next_message(waiting(held), PAUSE) is None
    for other in (an_event(2, machine="pump"), an_event(2, kind="blind")):
        assert next_message(waiting(held, other), PAUSE).report == other


def test_after_the_pause_one_event_is_told_as_it_is_and_its_end_follows():
    event = an_event(1)
    message = next_message(waiting(event, its_end(event)), {})
    assert (message.report, message.keys) == (event, (key_of(event),))
    end = next_message(waiting(its_end(event)), PAUSE)
    assert (end.report, end.pause) == (its_end(event), None)


def test_after_the_pause_several_events_are_one_digest():
    events = [an_event(1), its_end(an_event(1)), an_event(300)]
    message = next_message(waiting(*events), {})
    digest = message.report
    assert (digest.kind, digest.count, digest.ended) == ("digest", 2, None)
    assert digest.started == events[0].started
    assert digest.reason == ("2 alarms since 2026-03-01T12:00:01.000Z; the last one is still open.")
    assert len(message.keys) == 3
    assert message.pause == "alarm of fan"


def test_the_end_of_a_held_event_is_held_too_and_a_told_ones_end_is_told():
    held = an_event(1)
    told_before = its_end(an_event(0))
    assert next_message(waiting(held, its_end(held)), PAUSE) is None
    assert next_message(waiting(held, told_before, its_end(held)), PAUSE).report == told_before


def test_of_several_changes_of_state_the_last_one_is_told():
    states = [
        a_state(State.suspicious, State.normal, 1),
        a_state(State.normal, State.suspicious, 2),
    ]
    message = next_message(waiting(*states), {})
    assert message.report == states[1]
    assert message.keys == tuple(map(key_of, states))
