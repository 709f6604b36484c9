"""One resource, checked: raises InvalidResource with every fault found, or returns nothing."""

from __future__ import annotations

from typing import Any


def check(resource: dict[str, Any]) -> None:
    raise NotImplementedError
