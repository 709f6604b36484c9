"""Rotas from elsewhere, as proposals: a table or a directory's groups say who should be in which team when; an officer signs.

Nothing that is read here opens anything. It is checked against the trust's own people and teams, shown line by line, and
only what an access officer chooses becomes memberships, signed in that officer's session.
"""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from cloister.base.errors import CloisterError, Conflict, Invalid
from cloister.base.wire import Caller
from cloister.offices import teams
from cloister.offices.objects import milliseconds
from cloister.zones import Keyring

KIND: Final = "rota-proposal"
COLUMNS: Final = ("person", "team", "from", "until")
LINES_MAX: Final = 500
CHARACTERS_MAX: Final = 200_000
FIELD_CHARACTERS_MAX: Final = 100
OPEN_SECONDS: Final = 30 * 24 * 3600
REASON: Final = "Rota"


@dataclass(frozen=True, slots=True)
class Line:
    """What one line asks for: a person by sign-in name, a team by its name, a stretch of time."""

    number: int
    person: str
    team: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Checked:
    """A line against the trust as it is now. `problem` is empty when it could be signed."""

    line: Line
    person: str
    team: str
    problem: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """An import that waits for an officer."""

    id: str
    name: str  # of whoever brought it
    made: str
    source: str
    lines: tuple[Line, ...]


def read_table(text: str) -> list[Line]:
    """Lines of a CSV with the columns person, team, from, until; commas or semicolons, ISO 8601 times."""
    _check_length(text)
    text = text.lstrip("\ufeff")
    first = text.partition("\n")[0]
    rows = csv.DictReader(io.StringIO(text), delimiter=";" if first.count(";") > first.count(",") else ",", strict=True)
    try:
        names = [(name or "").strip().lower() for name in rows.fieldnames or ()]
        if not set(COLUMNS) <= set(names):
            raise Invalid(f"The first line must name the columns {', '.join(COLUMNS)}.", hint="Separate them by commas.", reason="table")
        rows.fieldnames = names
        return _bounded(_line(number, row) for number, row in enumerate(rows, start=2))
    except csv.Error as wrong:
        raise Invalid("This is not a table of comma-separated values.", hint=f"Near line {rows.line_num}.", reason="table") from wrong


def read_directory(text: str, *, start: datetime, end: datetime) -> list[Line]:
    """Lines of a directory's export (LDIF, RFC 2849): each group is a team, each `member` or `memberUid` a person, for this stretch."""
    _check_length(text)
    found: list[Line] = []
    for record in text.replace("\r\n", "\n").replace("\n ", "").split("\n\n"):
        values: dict[str, list[str]] = {}
        for line in record.splitlines():
            name, colon, value = line.partition(":")
            if colon and not line.startswith("#"):
                values.setdefault(name.strip().lower(), []).append(_ldif_value(value))
        members = [*map(_uid, values.get("member", ())), *map(_uid, values.get("uniquemember", ())), *values.get("memberuid", ())]
        for person in members:
            found.append(Line(len(found) + 1, _short(person.lower()), _short((values.get("cn") or [""])[0]), start, end))
    if not found:
        raise Invalid("There is no group with members in this export.", hint="Export groupOfNames or posixGroup as LDIF.", reason="ldif")
    return _bounded(found)


async def propose(gate: Caller, lines: Sequence[Line], source: str) -> str:
    """Put the import before the access officers; its id."""
    rows = [[one.number, one.person, one.team, milliseconds(one.start), milliseconds(one.end)] for one in lines]
    body = json.dumps({"source": source[:FIELD_CHARACTERS_MAX], "lines": rows}, ensure_ascii=False).encode()
    return str(await gate.call("request_open", kind=KIND, body=body, audience=["access-officer"], seconds=OPEN_SECONDS))


async def waiting(gate: Caller) -> list[Proposal]:
    return [_proposal(row) for row in await gate.call("requests", kinds=[KIND])]


async def one(gate: Caller, number: str) -> Proposal:
    return _proposal((await gate.call("request", id=number))["request"])


async def checked(gate: Caller, proposal: Proposal, now: datetime) -> list[Checked]:
    """Every line with the person and the team that it means, or with what is wrong with it."""
    sign_ins = sorted({line.person for line in proposal.lines})
    people = {row[1]: row for row in await gate.call("people_named", sign_ins=sign_ins)}
    named: dict[str, str] = {}
    after = ""
    while rows := await gate.call("office_teams", after=after, limit=200):
        named |= {str(row["name"]).casefold(): str(row["id"]) for row in rows} | {str(row["id"]): str(row["id"]) for row in rows}
        after = rows[-1]["id"]
    return [_checked(line, people, named, now) for line in proposal.lines]


async def sign(keyring: Keyring, gate: Caller, number: str, chosen: Iterable[int], now: datetime) -> int:
    """Sign the chosen lines, team by team, and close the proposal; how many turns that made."""
    wanted = set(chosen)
    lines = [one for one in await checked(gate, await one(gate, number), now) if one.line.number in wanted]
    wrong = next((one for one in lines if one.problem), None)
    if wrong is not None or not lines:
        text = f"Line {wrong.line.number} cannot be signed: {wrong.problem}" if wrong else "No line was chosen."
        raise Conflict(text, hint="Choose lines without a remark.", reason="proposal")
    signed = 0
    for team in sorted({one.team for one in lines}):
        turns = [teams.Stretch(one.person, one.line.start, one.line.end) for one in lines if one.team == team]
        signed += await teams.add(keyring, gate, team=team, stretches=turns, reason=REASON, now=now)
    await gate.call("request_close", id=number, state="granted")
    return signed


async def refuse(gate: Caller, number: str) -> None:
    await gate.call("request_close", id=number, state="refused")


def moment(text: str) -> datetime:
    """ISO 8601; without a zone it is this hospital's own time. Raises Invalid."""
    try:
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Invalid(f"'{text[:40]}' is no date and time.", hint="Write it as 2026-11-22T21:00.", reason="moment") from None


def _checked(line: Line, people: dict[str, Any], named: dict[str, str], now: datetime) -> Checked:
    person, team = people.get(line.person), named.get(line.team) or named.get(line.team.casefold(), "")
    problem = ""
    if person is None:
        problem = f"nobody signs in as '{line.person}'"
    elif person[3] not in teams.MEMBERS:
        problem = "only doctors and nurses are members of teams"
    elif not team:
        problem = f"there is no team '{line.team}'"
    else:
        try:
            teams.check_stretch(teams.Stretch(person[0], line.start, line.end), now)
        except CloisterError as wrong:
            problem = wrong.text
    return Checked(line, str(person[0]) if person else "", team, problem)


def _line(number: int, row: dict[str, Any]) -> Line:
    fields = {name: str(row.get(name) or "").strip() for name in COLUMNS}
    missing = next((name for name in COLUMNS if not fields[name]), None)
    if missing is not None:
        raise Invalid(f"Line {number} has no '{missing}'.", hint="Fill it in, or take the line out.", reason="table")
    try:
        start, end = moment(fields["from"]), moment(fields["until"])
    except Invalid as wrong:
        raise Invalid(f"Line {number}: {wrong.text}", hint=wrong.hint, reason="table") from None
    return Line(number, _short(fields["person"].lower()), _short(fields["team"]), start, end)


def _bounded(lines: Iterable[Line]) -> list[Line]:
    found = []
    for line in lines:
        found.append(line)
        if len(found) > LINES_MAX:
            raise Invalid(f"An import has at most {LINES_MAX} lines.", hint="Split it, a week at a time.", reason="table")
    if not found:
        raise Invalid("There is no line in this table.", hint="One line a turn, below the names of the columns.", reason="table")
    return found


def _proposal(row: Sequence[Any]) -> Proposal:
    said = json.loads(bytes(row[6]))
    lines = tuple(Line(int(n), str(person), str(team), _at(start), _at(end)) for n, person, team, start, end in said["lines"])
    return Proposal(str(row[0]), str(row[4]), str(row[8]), str(said["source"]), lines)


def _check_length(text: str) -> None:
    if len(text) > CHARACTERS_MAX:
        raise Invalid("This import is too large.", hint="Split it, a week at a time.", reason="table")


def _uid(name: str) -> str:
    """The uid of a distinguished name, or its first part's value."""
    parts = [part.partition("=") for part in name.split(",")]
    return next((value.strip() for key, _, value in parts if key.strip().lower() == "uid"), parts[0][2].strip())


def _ldif_value(value: str) -> str:
    if not value.startswith(":"):
        return value.strip()
    try:
        return base64.b64decode(value[1:].strip(), validate=True).decode()
    except ValueError:
        raise Invalid("A value of this export is not base64 of UTF-8.", hint="Export it again.", reason="ldif") from None


def _short(text: str) -> str:
    return text[:FIELD_CHARACTERS_MAX]


def _at(milliseconds_: int) -> datetime:
    return datetime.fromtimestamp(int(milliseconds_) / 1000, UTC)
