"""Which bytes of a file a `Range` asks for (RFC 9110 14.1.2)."""

from __future__ import annotations

import pytest

from cloister.records.fhir.ranges import asked


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("bytes=0-", (0, 100)),
        ("bytes=40-", (40, 100)),
        ("Bytes= 40-49 ", (40, 50)),
        ("bytes=40-1000", (40, 100)),
        ("bytes=-10", (90, 100)),
        ("bytes=-1000", (0, 100)),
        ("bytes=100-", None),
        ("bytes=-0", None),
    ],
)
def test_one_range_is_read(header: str, found: tuple[int, int] | None) -> None:
    one = asked(header)
    assert one is not None
    assert one.within(100) == found


@pytest.mark.parametrize(
    "header", ["", "bytes=", "bytes=-", "bytes=5-4", "bytes=0-1,5-6", "items=0-1", "bytes=a-b", "bytes=" + "9" * 20 + "-", "bytes=٣-"]
)
def test_whatever_else_is_as_if_it_did_not_stand_there(header: str) -> None:
    assert asked(header) is None


def test_an_empty_file_has_no_bytes() -> None:
    one = asked("bytes=0-")
    assert one is not None
    assert one.within(0) is None
