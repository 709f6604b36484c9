"""The filter of system calls, as a table."""

from __future__ import annotations

from cloister.server import seccomp


def test_the_filter_lets_no_call_through_twice() -> None:
    numbers = [n for table in (seccomp.CALLS_ALLOWED, seccomp.CALLS_OF_INTRUDERS, seccomp.CALLS_UNKNOWN, seccomp.CALLS_WITHOUT_FILES)
               for n in table.values()]  # fmt: skip
    assert len(numbers) == len(set(numbers))
    assert len(seccomp.program(1)) < 4096
    assert not set(seccomp.CALLS_ALLOWED.values()) & {2, 49, 56, 57, 58, 59, 62, 101, 257, 425, 435}
