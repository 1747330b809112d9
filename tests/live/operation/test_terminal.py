import io
from dataclasses import replace

import pytest
from tests.live.fakes import SetClock, a_state, a_window, an_event, its_end

from firstshot.live.messages import State
from firstshot.live.operation.terminal import Terminal

rich = pytest.importorskip("rich.console")


def shown(terminal):
    console = rich.Console(file=io.StringIO(), width=160)
    console.print(terminal.table())
    return console.file.getvalue().splitlines()


def test_a_machine_is_one_line_with_level_score_state_and_last_event():
    terminal = Terminal(["fan", "pump"], SetClock())
    terminal.show(replace(a_window(state=State.alarm), level_dbfs=-40.0, ranked=1.0))
    terminal.show(an_event())
    _, fan, pump = shown(terminal)
    assert fan.split()[:3] == ["fan", "alarm", "█████·····"]
    assert "████████········|······· 1 of 2" in fan
    assert "alarm since 2026-03-01 12:00:00Z: 5 of 8 windows sound unlike normal." in fan
    assert pump.split() == ["pump", "waiting", "nothing", "heard", "yet"]
    terminal.show(its_end(an_event()))
    assert "alarm of 2026-03-01 12:00:00Z has ended" in shown(terminal)[1]


def test_a_machine_that_is_blind_or_sends_nothing_says_so():
    clock = SetClock()
    terminal = Terminal(["fan", "pump"], clock)
    for machine in ("fan", "pump"):
        terminal.show(a_window(machine=machine))
    terminal.show(a_window(state=State.blind, score=None, machine="fan"))
    terminal.show(a_state(State.blind, State.normal))
    clock.pass_(5)
    assert "nothing" not in shown(terminal)[2]
    clock.pass_(120)
    _, fan, pump = shown(terminal)
    assert fan.split()[1] == "blind"
    assert "no window for 125 s" in pump


def test_the_table_is_drawn_into_a_terminal_until_it_is_closed():
    console = rich.Console(file=io.StringIO(), width=120, force_terminal=True)
    terminal = Terminal(["fan"], SetClock(), console)
    terminal.open()
    terminal.show(a_window())
    terminal.close()
    terminal.close()
    assert "1.2 of 2" in console.file.getvalue()
