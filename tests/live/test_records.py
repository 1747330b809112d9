import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import pytest

from firstshot.live.messages import State
from firstshot.live.records import from_plain, to_plain


@dataclass
class Inner:
    when: datetime | None
    kind: Literal["a", "b"]


@dataclass
class Outer:
    name: str
    count: int
    share: float
    flag: bool
    state: State
    inner: Inner
    times: list[datetime] | None


RECORD = Outer(
    "fan",
    3,
    0.5,
    True,
    State.blind,
    Inner(datetime(2026, 3, 1, 12, 0, 0, 123456, UTC), "b"),
    [datetime(2026, 3, 1, tzinfo=UTC)],
)


def test_a_record_comes_back_from_json_as_it_was():
    assert from_plain(Outer, json.loads(json.dumps(to_plain(RECORD)))) == RECORD


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("count",), 1.5, "count is 1.5"),
        (("flag",), 1, "flag is 1"),
        (("state",), "asleep", "state is 'asleep'"),
        (("inner", "kind"), "c", "inner.kind is 'c'"),
        (("inner", "when"), "yesterday", "inner.when is 'yesterday'"),
        (("times",), [3], r"times\[0\] is 3"),
        (("more",), 1, "more is not known"),
    ],
)
def test_a_field_that_does_not_fit_is_named(path, value, named):
    plain = to_plain(RECORD)
    table = plain
    for name in path[:-1]:
        table = table[name]
    table[path[-1]] = value
    with pytest.raises(ValueError, match=named):
        from_plain(Outer, plain)


def test_a_missing_field_is_named():
    plain = to_plain(RECORD)
    del plain["inner"]["kind"]
    with pytest.raises(ValueError, match=r"inner\.kind is missing"):
        from_plain(Outer, plain)
