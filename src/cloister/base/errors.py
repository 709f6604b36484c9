"""The eight categories of error, one table each to HTTP, FHIR issue code and exit code.

An error carries a sentence that is safe to show to anybody who may see the page, and a hint that
says what to do next. It never carries keys, plaintext of a record or the text of a query.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, ClassVar, Final

NOTHING: Final = ("", "")


class CloisterError(Exception):
    """Base of all expected errors; use one of the eight categories below."""

    category: ClassVar[str] = "corrupt"
    remedy: str = ""  # what would lift a refusal, where somebody can lift it: access/rules/placed.py

    def __init__(self, text: str, *, hint: str = "", reason: str = "", expression: str = "", asked: tuple[str, str] = NOTHING) -> None:
        super().__init__(text)
        self.text = text
        self.hint = hint
        self.reason = reason
        self.expression = expression
        self.asked = asked  # of a refusal by policy: the action, and the kind of thing that it was about

    def as_wire(self) -> dict[str, str]:
        return {
            "category": self.category,
            "text": self.text,
            "hint": self.hint,
            "reason": self.reason,
            "expression": self.expression,
        }


class Invalid(CloisterError):
    """The request or input is wrong; sending it again unchanged fails again."""

    category = "invalid"


class Denied(CloisterError):
    """Understood and refused; `reason` names which rule refused."""

    category = "denied"


class NotFound(CloisterError):
    """No such thing, or nothing that this person may know of."""

    category = "not-found"


class Conflict(CloisterError):
    """The thing has changed since it was read, or exists already."""

    category = "conflict"


class Busy(CloisterError):
    """Too much at once; the same request may be sent again later."""

    category = "busy"


class Unavailable(CloisterError):
    """A part that is needed does not answer."""

    category = "unavailable"


class Unsupported(CloisterError):
    """Understood, and not offered here."""

    category = "unsupported"


class Corrupt(CloisterError):
    """Stored bytes are not what was written: swapped, rolled back, cut short or forged."""

    category = "corrupt"


# Writes a refusal by policy down when it is shown, and gives the number by which people speak of it (web/refusing.py).
numbering: ContextVar[Callable[[CloisterError], str] | None] = ContextVar("numbering", default=None)


def number_of(error: CloisterError) -> str:
    note = numbering.get()
    return note(error) if note is not None and error.asked != NOTHING else ""


CATEGORIES: Final[dict[str, type[CloisterError]]] = {
    kind.category: kind for kind in (Invalid, Denied, NotFound, Conflict, Busy, Unavailable, Unsupported, Corrupt)
}
HTTP_STATUS: Final = {
    "invalid": 400,
    "denied": 403,
    "not-found": 404,
    "conflict": 409,
    "busy": 429,
    "unavailable": 503,
    "unsupported": 501,
    "corrupt": 500,
}
# FHIR R4 IssueType, http://hl7.org/fhir/R4/valueset-issue-type.html
ISSUE_CODE: Final = {
    "invalid": "invalid",
    "denied": "forbidden",
    "not-found": "not-found",
    "conflict": "conflict",
    "busy": "throttled",
    "unavailable": "transient",
    "unsupported": "not-supported",
    "corrupt": "exception",
}
# sysexits.h where it has a fitting number
EXIT_CODE: Final = {
    "invalid": 64,
    "denied": 77,
    "not-found": 66,
    "conflict": 73,
    "busy": 75,
    "unavailable": 69,
    "unsupported": 72,
    "corrupt": 65,
}


def from_wire(body: dict[str, Any]) -> CloisterError:
    """The error that `as_wire` described, as an exception of its category."""
    kind = CATEGORIES.get(str(body.get("category")), Corrupt)
    return kind(
        str(body.get("text", "An unnamed error came back.")),
        hint=str(body.get("hint", "")),
        reason=str(body.get("reason", "")),
        expression=str(body.get("expression", "")),
    )
