"""Messages of the trust's operators to a session's person: shown in every page until seen. They speak of the house, never of a patient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from cloister.base.errors import Invalid

KEPT_MAX: Final = 20
TEXT_CHARACTERS_MAX: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """`text` by language code; a page shows its own language, or the first that there is."""

    id: str
    text: dict[str, str]
    sender: str
    at: str
    urgent: bool = False

    def as_wire(self) -> dict[str, Any]:
        return asdict(self)


def notice_from_wire(body: Mapping[str, Any]) -> Notice:
    try:
        text = {str(language)[:5]: str(words)[:TEXT_CHARACTERS_MAX] for language, words in dict(body["text"]).items()}
        found = Notice(
            id=str(body["id"])[:64], text=text, sender=str(body["sender"])[:100], at=str(body["at"])[:40], urgent=body.get("urgent") is True
        )
    except (KeyError, TypeError, ValueError):
        raise Invalid("This is no message.", reason="message") from None
    if not any(text.values()):
        raise Invalid("A message needs a text.", reason="message")
    return found


class Notices:
    """Those that the person has not seen yet, the oldest first."""

    def __init__(self) -> None:
        self._waiting: dict[str, Notice] = {}

    def add(self, notice: Notice) -> None:
        self._waiting[notice.id] = notice
        while len(self._waiting) > KEPT_MAX:
            del self._waiting[next(iter(self._waiting))]

    def take(self, notice: str) -> bool:
        return self._waiting.pop(notice, None) is not None

    def all(self) -> list[Notice]:
        return list(self._waiting.values())
