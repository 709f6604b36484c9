"""The search. The form is sent by POST, so that names stand in no address, log or history; a link with ?q= works too."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from cloister.epr.kit.finding import bodies, find
from cloister.epr.kit.forms import read_form
from cloister.epr.kit.moment import parse_day
from cloister.epr.kit.person import traits_of
from cloister.epr.kit.visit import Visit

SHOWN_MAX: Final = 100
QUERY_CHARACTERS_MAX: Final = 100
NAME_CHARACTERS_MIN: Final = 2
_DATE: Final = re.compile(r"\b(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/. ](?:\d{1,2}|[^\W\d_]{3,10}\.?)[-/. ]\d{4})\b")
_NUMBER: Final = re.compile(r"(?=.*\d)[\w-]{4,40}")


@dataclass(frozen=True, slots=True)
class Asked:
    """What was typed, taken apart."""

    names: tuple[str, ...] = ()
    born: str = ""  # ISO date
    numbers: tuple[str, ...] = ()

    @property
    def pairs(self) -> list[tuple[str, str]]:
        pairs = [("name", _escaped(name)) for name in self.names]
        pairs += [("birthdate", self.born)] if self.born else []
        return pairs + [("identifier", _escaped(number)) for number in self.numbers]


def asked(text: str) -> Asked:
    """'lopez 05/03/1958' is a name and a birth date; a word of four signs with a figure in it is a number."""
    born = ""
    found = _DATE.search(text)
    if found:
        day = parse_day(found.group(1))
        if day is not None:
            born, text = day.isoformat(), text.replace(found.group(1), " ")
    words = [word.strip(".,;") for word in text.split()]
    numbers = tuple(word for word in words if _NUMBER.fullmatch(word))
    names = tuple(word for word in words if word and word not in numbers and len(word) >= NAME_CHARACTERS_MIN)
    return Asked(names, born, numbers)


def _escaped(value: str) -> str:
    """FHIR R4 search, 3.1.1.4.0.1: signs with a meaning in parameters are escaped."""
    return re.sub(r"([\\,$|])", r"\\\1", value)


async def search_by_link(request: Request) -> Response:
    return await _answer(request, request.query_params.get("q", ""))


async def search_by_form(request: Request) -> Response:
    form = await read_form(request, Visit.of(request).words)
    return await _answer(request, form.value("q"))


async def _answer(request: Request, text: str) -> Response:
    visit = Visit.of(request)
    text = text.strip()[:QUERY_CHARACTERS_MAX]
    wanted = asked(text)
    found, cut = [], False
    if wanted.pairs:
        page = await find(visit, "Patient", *wanted.pairs, ("_sort", "family"), ("_count", str(SHOWN_MAX + 1)), ("_total", "none"))
        found = sorted((traits_of(body) for body in bodies(page, "Patient")), key=lambda traits: traits.order)
        cut = len(found) > SHOWN_MAX or page.next is not None
    context: dict[str, Any] = {"q": text, "asked": wanted, "patients": found[:SHOWN_MAX], "cut": cut, "most": SHOWN_MAX}
    if request.headers.get("hx-request") == "true":
        return visit.page("patients/results.html", **context)
    return visit.page("patients/search.html", nav="/patients", **context)
