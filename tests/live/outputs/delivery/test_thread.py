from datetime import timedelta

import pytest
from tests.live.fakes import NotingOutput, SetClock, an_event, its_end

from firstshot.errors import ParameterError
from firstshot.live.clock import SystemClock
from firstshot.live.outputs.delivery.outbox import Outbox
from firstshot.live.outputs.delivery.thread import Delivery, DeliveryRules
from firstshot.live.outputs.protocol import DeliveryError, key_of
from firstshot.live.outputs.publisher import Outputs


@pytest.fixture
def clock():
    return SetClock()


@pytest.fixture
def deliver(tmp_path, clock):
    """Return a delivery whose steps a test takes itself, on the same outbox every time."""

    def make(**rules):
        return Delivery(
            NotingOutput(), Outbox(tmp_path / "box.jsonl"), DeliveryRules(**rules), clock
        )

    return make


def work(delivery, clock, seconds):
    """Let time pass as the thread would: a step, then the wait that it asks for."""
    end = clock.seconds + seconds
    while clock.seconds < end:
        clock.pass_(min(delivery.step(), max(0.0, end - clock.seconds)))


def test_a_hundred_alarms_in_a_minute_are_one_message_and_a_digest(deliver, clock):
    delivery = deliver(ends=False)
    for second in range(100):
        event = an_event(second * 0.6)
        delivery.put(event)
        delivery.put(its_end(event, 0.3))
        work(delivery, clock, 0.6)
    assert [report for _, report in delivery.output.got] == [an_event()]
    work(delivery, clock, 700)
    (_, first), (_, digest) = delivery.output.got
    assert first == an_event()
    assert (digest.kind, digest.count) == ("digest", 99)
    work(delivery, clock, 7000)
    assert len(delivery.output.got) == 2
    assert delivery.waiting() == 0


def test_the_pause_begins_with_the_delivery_and_survives_a_restart(deliver, clock):
    first = deliver()
    first.output.errors = [DeliveryError("away")] * 3
    first.put(an_event(0))
    work(first, clock, 20)
    assert len(first.output.got) == 1  # after 1 + 2 + 4 seconds
    first.close(0)
    again = deliver()
    again.put(an_event(100))
    work(again, clock, 580)
    assert again.output.got == []
    work(again, clock, 20)
    assert [report for _, report in again.output.got] == [an_event(100)]


def test_a_clock_set_back_an_hour_makes_the_pause_no_longer(deliver, clock):
    first = deliver()
    first.put(an_event(0))
    work(first, clock, 1)
    first.close(0)
    clock.now_is -= timedelta(hours=1)
    again = deliver()
    again.put(an_event(100))
    work(again, clock, 601)
    assert [report for _, report in again.output.got] == [an_event(100)]


def test_an_event_and_its_end_arrive_in_order_with_the_same_keys_at_every_attempt(deliver, clock):
    delivery = deliver()
    delivery.output.errors = [DeliveryError("away")]
    delivery.put(an_event())
    delivery.put(its_end(an_event()))
    work(delivery, clock, 10)
    assert delivery.output.got == [
        (key_of(an_event()), an_event()),
        (key_of(its_end(an_event())), its_end(an_event())),
    ]
    assert delivery.counts == {"failed": 1, "sent": 2}


def test_a_receiver_that_is_away_for_hours_is_asked_every_five_minutes(deliver, clock, caplog):
    delivery = deliver()
    delivery.output.errors = [DeliveryError("no answer")] * 12
    delivery.put(an_event())
    work(delivery, clock, 3600)
    assert delivery.counts == {"failed": 12, "sent": 1}
    assert [record.message for record in caplog.records] == [
        "noted: no answer; messages wait on disk, one attempt every 300 s",
        "noted: takes messages again",
    ]


def test_a_refused_message_is_dropped_with_a_word_and_the_next_one_is_sent(deliver, clock, caplog):
    delivery = deliver()
    delivery.output.errors = [ParameterError("status 404")]
    delivery.put(an_event())
    delivery.put(an_event(0, machine="pump"))
    work(delivery, clock, 1)
    assert [report.machine for _, report in delivery.output.got] == ["pump"]
    assert "fan-alarm-20260301T120000.000Z-begin is not delivered: status 404" in caplog.text


def test_where_attempts_are_limited_a_message_that_always_fails_is_dropped(deliver, clock):
    delivery = deliver(most_tries=3)
    delivery.output.errors = [DeliveryError("exit status 1")] * 3
    delivery.put(an_event())
    delivery.put(an_event(0, machine="pump"))
    work(delivery, clock, 20)
    assert [report.machine for _, report in delivery.output.got] == ["pump"]
    assert delivery.counts == {"failed": 3, "refused": 1, "sent": 1}


def test_at_most_so_many_messages_are_sent_in_a_minute(deliver, clock):
    delivery = deliver(per_minute=5)
    for number in range(12):
        delivery.put(an_event(machine=f"fan {number}"))
    work(delivery, clock, 59)
    assert len(delivery.output.got) == 5
    work(delivery, clock, 60)
    assert len(delivery.output.got) == 10


def test_a_thread_sends_what_is_put_and_close_waits_for_it(tmp_path):
    output = NotingOutput()
    outputs = Outputs([(output, DeliveryRules())], [], tmp_path, SystemClock())
    outputs.start()
    for number in range(20):
        outputs.publish(an_event(machine=f"fan {number}"))
    outputs.close(10)
    assert [report.machine for _, report in output.got] == [f"fan {n}" for n in range(20)]


def test_a_fault_of_an_output_ends_neither_its_thread_nor_the_listening(tmp_path, clock, caplog):
    class Broken(NotingOutput):
        def send(self, report, key):
            if report.machine == "fan":
                raise KeyError("a fault")
            super().send(report, key)

        def show(self, report):
            raise KeyError("a fault")

    output = Broken()
    outputs = Outputs([(output, DeliveryRules())], [output], tmp_path, clock)
    outputs.publish(an_event())
    outputs.publish(an_event(machine="pump"))
    work(outputs.deliveries[0], clock, 1)
    assert [report.machine for _, report in output.got] == ["pump"]
    assert "is not delivered" in caplog.text
    assert caplog.text.count("please report it") == 1
