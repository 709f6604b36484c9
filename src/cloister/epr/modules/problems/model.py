"""Condition as a problem of the list: http://hl7.org/fhir/R4/condition.html."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cloister.epr.kit.fhir import ICD10, code_of, newest_first, text_of, when
from cloister.epr.kit.module import Event, Resource, Resources
from cloister.epr.kit.moment import Moment
from cloister.epr.kit.visit import Visit

# ICD-10 as WHO and ATIH write it: A00, I10, E11.9, F32.10; with or without the point.
ICD10_FORM: Final = re.compile(r"[A-Z][0-9]{2}(\.?[0-9A-Z+]{1,4})?")
ACTIVE: Final = frozenset({"active", "recurrence", "relapse"})
CLINICAL: Final = "http://terminology.hl7.org/CodeSystem/condition-clinical"
VERIFICATION: Final = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
KIND: Final = "http://terminology.hl7.org/CodeSystem/condition-category"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    id: str
    text: str
    code: str
    status: str
    since: Moment
    until: Moment

    @property
    def active(self) -> bool:
        return self.status in ACTIVE


def problem_of(resource: Resource) -> Problem:
    verification = code_of(resource.get("verificationStatus"))
    status = verification if verification in ("entered-in-error", "refuted") else code_of(resource.get("clinicalStatus"))
    return Problem(
        id=str(resource.get("id") or ""),
        text=text_of(resource.get("code")),
        code=code_of(resource.get("code"), ICD10),
        status=status or ("resolved" if resource.get("abatementDateTime") else "active"),
        since=when(resource),
        until=Moment(str(resource.get("abatementDateTime") or "")),
    )


def problems_of(resources: Resources) -> tuple[list[Problem], list[Problem]]:
    """(active, others), the newest first; what was entered in error is left out of both."""
    problems = [problem_of(resource) for resource in newest_first(resources.get("Condition", ()))]
    problems = [problem for problem in problems if problem.status != "entered-in-error"]
    return [problem for problem in problems if problem.active], [problem for problem in problems if not problem.active]


@dataclass(frozen=True, slots=True)
class Merged:
    """The same problem as it was recorded once or several times, at different stays."""

    problem: Problem  # the newest
    since: Moment  # the earliest
    times: int


def merged(problems: list[Problem]) -> list[Merged]:
    """One line a problem, in the order of its newest entry; same code, or same words where there is no code."""
    groups: dict[str, list[Problem]] = {}
    for problem in problems:
        groups.setdefault(problem.code or problem.text.casefold(), []).append(problem)
    return [
        Merged(group[0], min((one.since for one in group if one.since), key=lambda since: since.order, default=Moment()), len(group))
        for group in groups.values()
    ]


def events(resources: Resources, visit: Visit) -> Iterable[Event]:
    for resource in resources.get("Condition", ()):
        problem = problem_of(resource)
        yield Event(
            kind="problems",
            at=problem.since,
            title=problem.text,
            detail=visit.words.or_else(f"problems.status.{problem.status}", problem.status),
        )


def condition(patient: str, *, code: str, text: str, since: Moment, verified: bool, author: str, now: datetime) -> dict[str, Any]:
    """A new entry of the problem list."""
    coding = [{"system": ICD10, "code": code, "display": text}] if code else []
    return {
        "resourceType": "Condition",
        "clinicalStatus": {"coding": [{"system": CLINICAL, "code": "active"}]},
        "verificationStatus": {"coding": [{"system": VERIFICATION, "code": "confirmed" if verified else "provisional"}]},
        "category": [{"coding": [{"system": KIND, "code": "problem-list-item"}]}],
        "code": {"text": text} | ({"coding": coding} if coding else {}),
        "subject": {"reference": f"Patient/{patient}"},
        "recordedDate": now.isoformat(timespec="seconds"),
        "recorder": {"display": author},
    } | ({"onsetDateTime": since.text} if since else {})


def normal_code(text: str) -> str:
    """'i10' is I10, 'E119' is E11.9: the point stands after the third sign."""
    code = text.strip().upper().replace(" ", "")
    return f"{code[:3]}.{code[3:]}" if len(code) > 3 and "." not in code else code
