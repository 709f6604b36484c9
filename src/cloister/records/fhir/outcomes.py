"""OperationOutcome: what went wrong, where, by which rule, and what to do. Spec: http://hl7.org/fhir/R4/operationoutcome.html."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, ClassVar, Final

from cloister.base.errors import HTTP_STATUS, ISSUE_CODE, CloisterError, Invalid, NotFound, Unsupported, number_of
from cloister.records.fhir.text import encode
from cloister.records.stored import DELETED
from cloister.records.validation import InvalidResource

ISSUE_OF_REASON: Final = {
    DELETED: "deleted",
    "json": "structure",
    "xml": "structure",
    "too-costly": "too-costly",
    "multiple-matches": "multiple-matches",
}
# Where a trust's rule wants a fresh proof (access/rules): a client shows this, its person does it, and the request goes through.
PROVE_AGAIN: Final = "Prove yourself again at /account/again in your browser (authentification à renouveler), and send this once more."
STATUS_OF_REASON: Final = {DELETED: 410, "version": 412, "multiple-matches": 412}


class NotAcceptable(Unsupported):
    """The client wants a format that is not served (HTTP 406)."""

    http_status: ClassVar[int] = 406


class WrongMedia(Unsupported):
    """The body is of a format that is not read (HTTP 415); `accept` names those that are (RFC 9110 15.5.16)."""

    http_status: ClassVar[int] = 415

    def __init__(self, text: str, *, hint: str = "", accept: str = "") -> None:
        super().__init__(text, hint=hint)
        self.accept = accept


class WrongMethod(Unsupported):
    """The address exists, and not for this method (HTTP 405); `allow` names the methods that it has (RFC 9110 15.5.6)."""

    http_status: ClassVar[int] = 405

    def __init__(self, text: str, *, hint: str = "", allow: str = "") -> None:
        super().__init__(text, hint=hint)
        self.allow = allow


class TooLarge(Invalid):
    """The body is larger than allowed (HTTP 413)."""

    http_status: ClassVar[int] = 413


def status_of(error: CloisterError) -> int:
    """The HTTP status of an error: its class's own, its reason's, or its category's."""
    own = getattr(error, "http_status", None)
    if isinstance(own, int):
        return own
    return STATUS_OF_REASON.get(error.reason, HTTP_STATUS[error.category])


def issue(severity: str, code: str, text: str, *, hint: str = "", rule: str = "", expression: str = "") -> dict[str, Any]:
    details: dict[str, Any] = {"coding": [{"code": rule}], "text": text} if rule else {"text": text}
    made: dict[str, Any] = {"severity": severity, "code": code, "details": details}
    if hint:
        made["diagnostics"] = hint
    if expression:
        made["expression"] = [expression]
    return made


def outcome(issues: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {"resourceType": "OperationOutcome", "issue": list(issues)}


ENTRY: Final = re.compile(r"Bundle\.entry\[\d+\]\.resource")


def outcome_of(error: CloisterError) -> dict[str, Any]:
    """The OperationOutcome that explains an error. An error inside a bundle says in its expression in which entry it is."""
    if isinstance(error, InvalidResource):
        place = ENTRY.match(error.expression)
        return outcome(
            issue(one.severity, one.code, one.text, hint=one.hint, rule=one.rule, expression=_inside(place, one.expression))
            for one in error.issues
        )
    code = ISSUE_OF_REASON.get(error.reason, ISSUE_CODE[error.category])
    number, again = number_of(error), PROVE_AGAIN if getattr(error, "remedy", "") == "step-up" else ""
    hint = " ".join(filter(None, (error.hint, again, f"Refusal {number}." if number else "")))
    return outcome([issue("error", code, error.text, hint=hint, rule=error.reason, expression=error.expression)])


def _inside(place: re.Match[str] | None, expression: str) -> str:
    """Patient.name[0] in the third entry is Bundle.entry[2].resource.name[0]."""
    if place is None or expression.startswith("Bundle."):
        return expression
    _, dot, rest = expression.partition(".")
    return f"{place[0]}{dot}{rest}"


def done(text: str) -> dict[str, Any]:
    """The OperationOutcome of what went well (Prefer: return=OperationOutcome)."""
    return outcome([issue("information", "informational", text)])


def not_here(type: str, id: str) -> NotFound:
    """One answer for what never was and for what this session may not know: not a letter differs."""
    return NotFound(f"There is no {type}/{id[:64]} here.", hint="Mind upper and lower case.")


def outcome_bytes(error: CloisterError) -> bytes:
    return encode(outcome_of(error))
