"""Bytes that cannot print, log, compare in short time or pickle themselves."""

from __future__ import annotations

import hmac
from typing import NoReturn


class Secret:
    """Wraps key material. `reveal()` is the only way out; repr, str and pickling say nothing."""

    __slots__ = ("__bytes",)

    def __init__(self, value: bytes) -> None:
        self.__bytes = bytes(value)

    def reveal(self) -> bytes:
        return self.__bytes

    def __repr__(self) -> str:
        return "Secret(...)"

    __str__ = __repr__

    def __len__(self) -> int:
        return len(self.__bytes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self.__bytes, other.reveal())

    def __hash__(self) -> NoReturn:
        raise TypeError("A secret is not a key of a dictionary.")

    def __reduce__(self) -> NoReturn:
        raise TypeError("A secret cannot be pickled.")

    def __format__(self, spec: str) -> str:
        return "Secret(...)"
