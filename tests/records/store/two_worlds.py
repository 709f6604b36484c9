"""The same questions in two worlds: one where a closed zone holds what is asked about, one where nobody has it.

Whatever differs between the two answers, tells. So the whole answer is compared, and what the session asked of the store
on the way: which statements, how often, with how many bytes; that is what a clock would measure, without its noise.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import uuid
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import msgspec
from over_http import client_of
from searched_people import coded, measured, stay
from store_rig import SURGERY, Rig, Session

from cloister.records import Records

INS: Final = "urn:test:ins"
ICD: Final = "http://hl7.org/fhir/sid/icd-10"
VOLATILE: Final = frozenset({"date", "content-length"})
UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z|\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT")
PAGE: Final = re.compile(r"_page=[\w-]{16}")
KINDS: Final = ("patient", "encounter", "observation", "condition", "list", "provenance", "meeting", "document")
SLACK: Final = 96  # bytes by which sealed answers of equal content may differ, because chance does not compress


@dataclass(frozen=True)
class World:
    """The names that questions are about. In one world a closed zone has what they name."""

    mark: str
    ids: dict[str, str]

    @classmethod
    def new(cls) -> World:
        return cls(secrets.token_hex(4), {kind: str(uuid.uuid4()) for kind in KINDS})

    @property
    def names(self) -> dict[str, str]:
        return {**self.ids, "mark": self.mark, "ins": INS}

    def resources(self) -> list[dict[str, Any]]:
        """Everything that the questions look for, as somebody else would have it."""
        id, who = self.ids, f"Patient/{self.ids['patient']}"
        weight = f"Observation/{id['observation']}"
        narrative = f'<div xmlns="http://www.w3.org/1999/xhtml">{self.mark}</div>'
        made: list[tuple[str, dict[str, Any]]] = [
            ("patient", person(self.mark)),
            ("encounter", stay(who, "in-progress", f"Location/{SURGERY}", period={"start": "2026-11-20"})),
            (
                "observation",
                measured(
                    who,
                    f"code-{self.mark}",
                    141,
                    "2026-11-20",
                    encounter={"reference": f"Encounter/{id['encounter']}"},
                    text={"status": "generated", "div": narrative},
                    identifier=[{"system": INS, "value": f"o{self.mark}"}],
                ),
            ),
            (
                "condition",
                {"resourceType": "Condition", "subject": {"reference": who}, "code": coded(ICD, f"code-{self.mark}", display=self.mark)},
            ),
            (
                "list",
                {
                    "resourceType": "List",
                    "status": "current",
                    "mode": "working",
                    "subject": {"reference": who},
                    "entry": [{"item": {"reference": weight}}],
                },
            ),
            (
                "provenance",
                {
                    "resourceType": "Provenance",
                    "target": [{"reference": weight}],
                    "recorded": "2026-11-20T09:00:00Z",
                    "agent": [{"who": {"display": self.mark}}],
                },
            ),
            (
                "meeting",
                {
                    "resourceType": "Appointment",
                    "status": "booked",
                    "start": "2026-12-01T09:00:00Z",
                    "end": "2026-12-01T10:00:00Z",
                    "participant": [{"status": "accepted", "actor": {"reference": who}}],
                },
            ),
            (
                "document",
                {
                    "resourceType": "Composition",
                    "status": "final",
                    "type": coded("http://loinc.org", "11488-4"),
                    "subject": {"reference": who},
                    "date": "2026-11-20",
                    "author": [{"display": "x"}],
                    "title": self.mark,
                },
            ),
        ]
        return [body | {"id": id[kind]} for kind, body in made]


def person(mark: str, family: str = "") -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "identifier": [{"system": INS, "value": mark}],
        "name": [{"family": family or f"fam{mark}", "given": ["Zoé"]}],
        "birthDate": "1949-12-24",
        "gender": "other",
    }


async def hide(session: Session, world: World, zone: str | None = None) -> None:
    """The world's resources, in a zone of this session."""
    entries = [{"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}} for one in world.resources()]
    await session.records.transaction({"resourceType": "Bundle", "type": "transaction", "entry": entries}, zone=zone)


@dataclass
class Overheard:
    """What a session asks of the store: statement, bytes sent, bytes received."""

    gate: Any
    calls: list[tuple[str, int, int]] = field(default_factory=list)

    async def call(self, name: str, **arguments: Any) -> Any:
        answer = await self.gate.call(name, **arguments)
        if name == "notices_take":
            return answer  # on the session's own clock, after any write: no question's doing
        if name == "notices_take":
            return answer  # on the session's own clock, after any write: no question's doing
        self.calls.append((name, len(msgspec.msgpack.encode(arguments)), len(msgspec.msgpack.encode(answer))))
        return answer


@dataclass(frozen=True)
class Question:
    """One request; names in braces are the world's."""

    path: str
    method: str = "GET"
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()


def filled(node: Any, names: dict[str, str]) -> Any:
    if isinstance(node, str):
        return re.sub(r"\{(\w+)\}", lambda match: names.get(match[1], match[0]), node)
    if isinstance(node, dict):
        return {name: filled(one, names) for name, one in node.items()}
    return [filled(one, names) for one in node] if isinstance(node, list) else node


class Asker:
    """One person's session in one world, with nothing remembered of any other."""

    def __init__(self, trust: Rig, session: Session, world: World) -> None:
        self.overheard = Overheard(session.gate)
        self._records = Records(session.actor, session.keyring, self.overheard, trust.policy)  # type: ignore[arg-type]
        self._client = client_of(Session(self._records, session.keyring, session.actor, session.gate, session.pid))
        self._world = world

    async def ask(self, question: Question) -> tuple[tuple[Any, ...], list[tuple[str, int, int]]]:
        """The answer without what is different each time, and what was asked of the store."""
        names = self._world.names
        self.overheard.calls.clear()
        headers = {name: filled(text, names) for name, text in question.headers}
        form = isinstance(question.body, str)
        if form:
            headers["content-type"] = "application/x-www-form-urlencoded"
        answer = await self._client.request(
            question.method,
            filled(question.path, names),
            headers=headers,
            content=filled(question.body, names).encode() if form else None,
            json=filled(question.body, names) if question.body is not None and not form else None,
        )
        return self._told(answer), list(self.overheard.calls)

    async def walk(self, question: Question, pages: int) -> tuple[list[Any], list[tuple[str, int, int]]]:
        """A question and the pages that its links lead to."""
        told: list[Any] = []
        calls: list[tuple[str, int, int]] = []
        for _ in range(pages):
            self.overheard.calls.clear()
            answer = await self._client.get(filled(question.path, self._world.names))
            told.append(self._told(answer))
            calls += self.overheard.calls
            links = answer.json().get("link", [])
            following = [link["url"] for link in links if link["relation"] == "next"]
            if not following:
                break
            question = Question(following[0])
        return told, calls

    async def export(self, path: str) -> list[str]:
        """The lines of every file of an export."""
        begun = await self._client.get(path, headers={"prefer": "respond-async"})
        assert begun.status_code == 202, begun.text
        place = begun.headers["content-location"]
        while (manifest := await self._client.get(place)).status_code == 202:
            await asyncio.sleep(0.02)
        files = [(one["type"], one["count"], one["url"]) for one in manifest.json()["output"]]
        bodies = [(await self._client.get(url)).text for _, _, url in files]
        return [f"{type} {count}" for type, count, _ in files] + sorted(line for body in bodies for line in body.splitlines())

    def _told(self, answer: httpx.Response) -> tuple[Any, ...]:
        numbers: dict[str, str] = {}
        text = answer.text
        for kind, name in (*self._world.ids.items(), ("mark", self._world.mark)):
            text = text.replace(name, f"<{kind}>")
        headers = "\n".join(f"{name}: {one}" for name, one in sorted(answer.headers.items()) if name not in VOLATILE)
        for kind, name in self._world.ids.items():
            headers = headers.replace(name, f"<{kind}>")
        shown = TIME.sub("<time>", PAGE.sub("_page=<page>", f"{headers}\n\n{text}"))
        return answer.status_code, UUID.sub(lambda match: numbers.setdefault(match[0], f"<{len(numbers)}>"), shown)


def alike(one: list[tuple[str, int, int]], other: list[tuple[str, int, int]]) -> bool:
    """The same statements in the same order, and answers of one size but for chance."""
    return [call[0] for call in one] == [call[0] for call in other] and all(
        abs(a[1] - b[1]) <= SLACK and abs(a[2] - b[2]) <= SLACK for a, b in zip(one, other, strict=True)
    )
