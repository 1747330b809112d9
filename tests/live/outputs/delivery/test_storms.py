from tests.live.fakes import START, a_state, an_event, its_end

from firstshot.live.messages import State
from firstshot.live.outputs.delivery.outbox import Waiting
from firstshot.live.outputs.delivery.storms import next_parcel
from firstshot.live.outputs.protocol import key_of

PAUSE = {"alarm of fan": 100.0}


def waiting(*reports):
    return [Waiting(key_of(report), START, report) for report in reports]


def test_an_event_is_told_at_once_and_begins_a_pause_of_its_machine_and_kind():
    parcel = next_parcel(waiting(an_event()), {})
    assert (parcel.report, parcel.keys) == (an_event(), (key_of(an_event()),))
    assert parcel.mark == "alarm of fan"


def test_in_the_pause_events_of_other_machines_and_kinds_are_told():
    held = an_event(1)
    assert next_parcel(waiting(held), PAUSE) is None
    for other in (an_event(2, machine="pump"), an_event(2, kind="blind")):
        assert next_parcel(waiting(held, other), PAUSE).report == other


def test_after_the_pause_one_event_is_told_as_it_is_and_its_end_follows():
    event = an_event(1)
    parcel = next_parcel(waiting(event, its_end(event)), {})
    assert (parcel.report, parcel.keys) == (event, (key_of(event),))
    end = next_parcel(waiting(its_end(event)), PAUSE)
    assert (end.report, end.mark) == (its_end(event), None)


def test_after_the_pause_several_events_are_one_digest():
    events = [an_event(1), its_end(an_event(1)), an_event(300)]
    parcel = next_parcel(waiting(*events), {})
    digest = parcel.report
    assert (digest.kind, digest.count, digest.ended) == ("digest", 2, None)
    assert digest.started == events[0].started
    assert digest.reason == ("2 alarms since 2026-03-01T12:00:01.000Z; the last one is still open.")
    assert len(parcel.keys) == 3
    assert parcel.mark == "alarm of fan"


def test_the_end_of_a_held_event_is_held_too_and_a_told_ones_end_is_told():
    held = an_event(1)
    told_before = its_end(an_event(0))
    assert next_parcel(waiting(held, its_end(held)), PAUSE) is None
    assert next_parcel(waiting(held, told_before, its_end(held)), PAUSE).report == told_before


def test_of_several_changes_of_state_the_last_one_is_told():
    states = [
        a_state(State.suspicious, State.normal, 1),
        a_state(State.normal, State.suspicious, 2),
    ]
    parcel = next_parcel(waiting(*states), {})
    assert parcel.report == states[1]
    assert parcel.keys == tuple(map(key_of, states))
