import os
import socket

import pytest
from tests.live.fakes import SetClock

from firstshot.live.operation.service import ServiceManager


@pytest.fixture
def manager(tmp_path):
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(address))
        listener.setblocking(False)
        yield listener, {"NOTIFY_SOCKET": str(address)}


def test_the_manager_is_told_once_that_the_process_is_ready_and_that_it_ends(manager):
    listener, environ = manager
    service = ServiceManager(SetClock(), environ)
    service.alive([])
    service.alive([])
    service.stopping()
    assert listener.recv(200) == b"READY=1"
    assert listener.recv(200) == b"STOPPING=1"


def test_signs_of_life_are_sent_four_times_in_the_time_that_the_manager_waits(manager):
    listener, environ = manager
    clock = SetClock()
    service = ServiceManager(clock, environ | {"WATCHDOG_USEC": "60000000"})
    assert service.seconds == 60
    for _ in range(60):
        service.alive([clock.seconds])
        clock.pass_(1)
    assert listener.recv(200) == b"READY=1"
    for _ in range(4):
        assert listener.recv(200) == b"WATCHDOG=1"
    with pytest.raises(BlockingIOError):
        listener.recv(200)


def test_a_process_with_a_thread_that_hangs_gives_no_sign_of_life(manager):
    listener, environ = manager
    clock = SetClock()
    service = ServiceManager(clock, environ | {"WATCHDOG_USEC": "60000000"})
    service.alive([clock.seconds, clock.seconds - 121])
    assert listener.recv(200) == b"READY=1"
    with pytest.raises(BlockingIOError):
        listener.recv(200)


def test_a_watchdog_of_another_process_and_a_missing_manager_are_passed_over(manager, tmp_path):
    listener, environ = manager
    other = environ | {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": str(os.getpid() + 1)}
    ServiceManager(SetClock(), other).alive([])
    assert listener.recv(200) == b"READY=1"
    with pytest.raises(BlockingIOError):
        listener.recv(200)
    for address in ("", "nothing", str(tmp_path / "gone")):
        ServiceManager(SetClock(), {"NOTIFY_SOCKET": address}).alive([])
