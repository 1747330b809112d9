from pathlib import Path

import pytest

from firstshot.disk.documents import Table
from firstshot.live.clips.recorder import Lengths
from firstshot.live.clips.retention import Limits
from firstshot.live.clips.settings import ClipSettings, read_clips


def test_every_field_is_read_and_what_is_missing_has_its_default():
    values = {
        "folder": "kept", "limit": "100 MB", "days": 7, "least": 3,
        "before": 20, "after": 2.5, "longest": 60,
    }  # fmt: skip
    assert read_clips(Table(values, "clips"), Path("/srv")) == ClipSettings(
        Path("/srv/kept"), Limits(10**8, 7.0, 3), Lengths(20.0, 2.5, 60.0)
    )
    assert read_clips(Table({}, "clips")) == ClipSettings()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"limits": "1 GB"}, "clips.limits is not known; known: folder, limit"),
        ({"limit": "much"}, "clips.limit: 'much' is no size, such as 500 MB"),
        ({"before": 500}, "clips.before is 500, expected a number from 0.1 to 120"),
        ({"least": -1}, "clips.least is -1, expected a whole number"),
    ],
)
def test_a_wrong_field_is_one_line(values, said):
    with pytest.raises(ValueError, match=r"^clips\.") as caught:
        read_clips(Table(values, "clips"))
    assert said in str(caught.value)
