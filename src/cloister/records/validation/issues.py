"""What is wrong with a resource: where, which rule, what to do. Spec: http://hl7.org/fhir/R4/operationoutcome.html."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from cloister.base.errors import Invalid

ISSUES_MAX: Final = 50  # more than this helps nobody


@dataclass(slots=True)
class Fault:
    """One fault while a resource is walked: its path grows at the front on the way back to the root."""

    path: list[str | int]
    code: str
    rule: str
    text: str
    hint: str
    severity: str = "error"


@dataclass(frozen=True, slots=True)
class Issue:
    """One fault. `code` is a FHIR IssueType; `rule` names the invariant or the check; `text` never repeats a value."""

    expression: str
    code: str
    rule: str
    text: str
    hint: str
    severity: str = "error"


class InvalidResource(Invalid):
    """The resource breaks rules of FHIR R4; all that were found are listed (HTTP 422)."""

    http_status: ClassVar[int] = 422

    def __init__(self, issues: list[Issue]) -> None:
        first = issues[0]
        super().__init__(f"{first.expression}: {first.text}", hint=first.hint, reason=first.rule, expression=first.expression)
        self.issues = tuple(issues)


def issue_of(root: str, fault: Fault) -> Issue:
    """The fault with its place as a FHIRPath expression: Patient.name[0].family."""
    expression = root + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in fault.path)
    return Issue(expression, fault.code, fault.rule, fault.text, fault.hint, fault.severity)
