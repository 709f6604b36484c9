"""What an answer of the server means for a unit. Pure; spec: http://hl7.org/fhir/R4/http.html#trules, operationoutcome.html."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import orjson

from cloister.cli.importing.bundles import named
from cloister.cli.importing.unit import Rejected, Unit

_ENTRY: Final = re.compile(r"^Bundle\.entry\[(\d+)\](?:\.resource(?:\.ofType\(\w+\))?)?\.?(.*)$")
PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})  # the same bytes may well be taken later
HINT: Final = "Correct this and import the file again; what is stored already is skipped."


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The unit is in: how many entries were new, how many were there already, and which were refused one by one."""

    new: int
    present: int
    rejected: tuple[Rejected, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Without:
    """The whole was refused because of some entries: send it again without those."""

    places: frozenset[int]
    rejected: tuple[Rejected, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """Not now: wait, then send the same again."""

    why: str
    seconds: float = 0.0
    tries_max: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Renew:
    """The token no longer holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Nothing of the unit can go in."""

    rejected: tuple[Rejected, ...] = field(default=())


Answer = Stored | Without | Later | Renew | Refused


def judge(unit: Unit, status: int, body: bytes, retry_after: str = "") -> Answer:
    """What to do about this answer."""
    if status == 200 and (all_well := _all_well(body)) is not None:
        return all_well
    parsed = _parsed(body)
    if status == 200 and parsed.get("resourceType") == "Bundle":
        return _stored(unit, parsed.get("entry") or [])
    if status == 401 or status == 421:
        return Renew()
    if status in {409, 412}:
        return Later(why="another import writes to the same records", tries_max=8)
    if status == 500:
        return Later(why="the server failed", tries_max=3)
    if status in PASSING:
        return Later(
            why=_first_text(parsed) or f"the server answered {status}", seconds=float(retry_after) if retry_after.isdigit() else 0.0
        )
    return _refused(unit, status, parsed)


class _Response(msgspec.Struct):
    status: str


class _Answered(msgspec.Struct):
    response: _Response


class _Answers(msgspec.Struct):
    entry: list[_Answered]


_answers: Final = msgspec.json.Decoder(_Answers)


def _all_well(body: bytes) -> Stored | None:
    """The common answer, where every entry was stored, without building all that is in it."""
    try:
        codes = [one.response.status[:3] for one in _answers.decode(body).entry]
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    new = codes.count("201")
    return Stored(new=new, present=len(codes) - new) if all(code[:1] in {"2", "3"} for code in codes) else None


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _stored(unit: Unit, entries: list[Any]) -> Stored:
    new = present = 0
    rejected: list[Rejected] = []
    resources: list[Any] | None = None
    for place, entry in enumerate(entries):
        response = entry.get("response", {})
        code = str(response.get("status", ""))[:3]
        if code == "201":
            new += 1
        elif code[:1] in {"2", "3"}:
            present += 1
        elif place < len(unit.numbers):
            if resources is None:
                resources = [one.get("resource") for one in unit.bundle()["entry"]]
            outcome = response.get("outcome") or entry.get("resource") or {}
            issues = _issues(outcome) or [{"code": "processing", "details": {"text": f"The server answered {code}."}}]
            rejected += [_rejected(unit, place, resources[place], issue) for issue in issues]
    return Stored(new=new, present=present, rejected=tuple(rejected))


def _refused(unit: Unit, status: int, parsed: dict[str, Any]) -> Without | Refused:
    resources = [one.get("resource") if isinstance(one, dict) else None for one in unit.bundle().get("entry", [])]
    places: set[int] = set()
    rejected: list[Rejected] = []
    general: list[dict[str, Any]] = []
    for issue in _issues(parsed):
        place = next((int(found[1]) for text in issue.get("expression") or [] if (found := _ENTRY.match(str(text)))), None)
        if place is None or place >= len(resources):
            general.append(issue)
        else:
            places.add(place)
            rejected.append(_rejected(unit, place, resources[place], issue))
    if places:
        return Without(places=frozenset(places), rejected=tuple(rejected))
    issue = general[0] if general else {"code": "processing", "details": {"text": f"The server answered {status}."}}
    return Refused(rejected=tuple(_rejected(unit, place, resource, issue) for place, resource in enumerate(resources)))


def _issues(outcome: dict[str, Any]) -> list[dict[str, Any]]:
    issues = outcome.get("issue") if isinstance(outcome, dict) else None
    return [one for one in issues or [] if isinstance(one, dict) and one.get("severity") in {"fatal", "error", None}]


def _first_text(parsed: dict[str, Any]) -> str:
    issues = _issues(parsed)
    return _text(issues[0]) if issues else str(parsed.get("text", ""))


def _text(issue: dict[str, Any]) -> str:
    details = issue.get("details")
    text = details.get("text") if isinstance(details, dict) else None
    return str(text or issue.get("diagnostics") or issue.get("code") or "refused")


def _rejected(unit: Unit, place: int, resource: Any, issue: dict[str, Any]) -> Rejected:
    elements = [str(text) for text in issue.get("expression") or []]
    element = elements[0] if elements else ""
    found = _ENTRY.match(element)
    if found:
        kind = resource.get("resourceType", "") if isinstance(resource, dict) else ""
        element = found[2] if found[2].startswith(f"{kind}.") else ".".join(part for part in (kind, found[2]) if part)
    details = issue.get("details")
    coding = (details.get("coding") if isinstance(details, dict) else None) or [{}]
    hint = str(issue.get("diagnostics") or HINT) if isinstance(details, dict) and details.get("text") else HINT
    return Rejected(
        file=unit.source,
        entry=unit.numbers[place] if place < len(unit.numbers) else None,
        resource=named(resource),
        element=element,
        rule=str(coding[0].get("code") or issue.get("code") or "refused"),
        text=_text(issue),
        hint=hint,
    )
