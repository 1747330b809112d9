from datetime import timedelta

import numpy as np
from tests.live.fakes import START, a_window

from firstshot.live.history.plot import _edges, plot_history
from firstshot.live.history.read import MachineHistory


def test_a_column_is_as_wide_as_two_windows_at_least_so_that_lines_have_no_holes():
    times = START.timestamp() + np.arange(100) * 0.5
    edges = _edges(times, times[0], times[-1])
    assert np.histogram(times, edges)[0].min() >= 1
    assert len(_edges(np.arange(0, 1e6, 5.0), 0, 1e6)) == 501


def test_one_window_is_drawn_too():
    machine = MachineHistory("fan")
    machine.add_window(a_window().as_json())
    assert "<svg" in plot_history(machine, START, START)
    assert "<svg" in plot_history(machine, START, START + timedelta(days=2))
