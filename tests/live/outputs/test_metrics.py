import urllib.request

import pytest
from tests.live.fakes import SetClock, a_state, a_window, an_event, its_end
from tests.live.receivers import free_port

from firstshot.errors import ParameterError
from firstshot.live.messages import State
from firstshot.live.outputs.metrics import Metrics

pytest.importorskip("prometheus_client")


@pytest.fixture
def clock():
    return SetClock()


@pytest.fixture
def metrics(clock):
    made = Metrics(free_port(), "127.0.0.1", clock, lambda: {"pager": {"sent": 3, "waiting": 1}})
    made.open()
    yield made
    made.close()


def read(metrics):
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics.port}/metrics", timeout=10) as page:
        lines = page.read().decode().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


def test_the_page_shows_score_threshold_level_state_and_latency(metrics, clock):
    clock.pass_(0.25)
    metrics.show(a_window(state=State.suspicious))
    metrics.count_dropped("fan", 160)
    page = read(metrics)
    assert page['firstshot_score{machine="fan"}'] == "1.5"
    assert page['firstshot_ranked_score{machine="fan"}'] == "1.2"
    assert page['firstshot_threshold{machine="fan"}'] == "2.0"
    assert page['firstshot_level_dbfs{machine="fan"}'] == "-31.5"
    assert page['firstshot_latency_seconds{machine="fan"}'] == "0.25"
    assert page['firstshot_state{machine="fan",state="suspicious"}'] == "1.0"
    assert page['firstshot_state{machine="fan",state="normal"}'] == "0.0"
    assert page['firstshot_windows_total{machine="fan"}'] == "1.0"
    assert page['firstshot_dropped_samples_total{machine="fan"}'] == "160.0"
    assert page['firstshot_deliveries_total{output="pager",result="sent"}'] == "3.0"


def test_a_machine_that_cannot_be_judged_has_no_score_and_its_seconds_are_counted(metrics, clock):
    metrics.show(a_state(State.blind, State.normal))
    metrics.show(a_window(state=State.blind, score=None))
    clock.pass_(90)
    page = read(metrics)
    assert 'firstshot_score{machine="fan"}' not in page
    assert page['firstshot_blind_seconds_total{machine="fan"}'] == "90.0"
    metrics.show(a_state(State.normal, State.blind))
    clock.pass_(90)
    assert read(metrics)['firstshot_blind_seconds_total{machine="fan"}'] == "90.0"


def test_an_event_is_counted_once(metrics):
    metrics.show(an_event())
    metrics.show(its_end(an_event()))
    assert read(metrics)['firstshot_events_total{kind="alarm",machine="fan"}'] == "1.0"


def test_a_port_that_is_taken_is_one_line(metrics, clock):
    with pytest.raises(ParameterError, match=f"port {metrics.port} of 127.0.0.1 cannot be used"):
        Metrics(metrics.port, "127.0.0.1", clock).open()
