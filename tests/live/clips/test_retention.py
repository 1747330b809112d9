from datetime import timedelta
from pathlib import Path

import pytest
from tests.live.fakes import START

from firstshot.errors import ParameterError
from firstshot.live.clips.retention import KeptClip, Limits, read_size, to_remove

DAY = timedelta(days=1)


def a_clip(days_old, machine="fan", size=100, locked=False):
    return KeptClip(Path(f"{machine}-{days_old}"), machine, START - days_old * DAY, size, locked)


def removed(clips, limits, needed=0):
    used = sum(clip.size for clip in clips)
    found = list(to_remove(clips, limits, START, used, needed))
    return [(removal.clip.base.name, removal.reason) for removal in found]


def test_clips_of_old_events_are_removed_oldest_first_with_the_reason():
    clips = [a_clip(3), a_clip(40), a_clip(31)]
    assert removed(clips, Limits(10**6, days=30, least=0)) == [
        ("fan-40", "The event is older than 30 days."),
        ("fan-31", "The event is older than 30 days."),
    ]


def test_as_many_old_clips_are_removed_as_make_room():
    clips = [a_clip(3), a_clip(1), a_clip(2, "pump")]
    assert removed(clips, Limits(350, least=0), needed=50) == []
    assert removed(clips, Limits(350, least=0), needed=51) == [
        ("fan-3", "All clips together reach 0.00035 MB."),
    ]
    assert [name for name, _ in removed(clips, Limits(100, least=0), 50)] == [
        "fan-3",
        "pump-2",
        "fan-1",
    ]


def test_locked_clips_and_the_newest_of_each_machine_stay():
    clips = [a_clip(50, locked=True), a_clip(40), a_clip(35), a_clip(60, "pump")]
    assert [name for name, _ in removed(clips, Limits(1, days=30, least=1), 10**6)] == ["fan-40"]


@pytest.mark.parametrize("text", ["", "5", "MB", "-5 MB", "5 MiB", "0 GB", "1.5 GB"])
def test_a_size_that_cannot_be_read_is_one_line(text):
    with pytest.raises(ParameterError, match="is no size, such as 500 MB"):
        read_size(text)
