"""A policy's examples: a table of questions with the answers that the hospital wants, tried before every signature.

role, action, what, address, aal, minutes, answer: the answer is `allow`, or the name of the rule that forbids it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cloister.access.actor import PAGE, PROGRAM, Action, Actor, Facts
from cloister.access.kinds import RESOURCE_TYPES, Page
from cloister.access.rules.checked import Act, Refused, Rules
from cloister.access.rules.standing import Networks, Standing
from cloister.base.errors import Invalid
from cloister.identity import Role

COLUMNS: Final = ("role", "action", "what", "address", "aal", "minutes", "answer")
ALLOW: Final = "allow"
EXAMPLES_MAX: Final = 5000
ACTIONS: Final = frozenset({*(action.value for action in Action), *(act.value for act in Act)})
PAGES: Final = frozenset(page.value for page in Page)
PROGRAM_MARK: Final = "program/"  # before the name of a published program


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    line: int
    role: str
    action: str
    what: str  # a resource type, a page, or program/NAME
    address: str
    aal: int
    minutes: int
    answer: str


def read_examples(text: str) -> list[Example]:
    rows = csv.DictReader(io.StringIO(text.lstrip("\ufeff")), strict=True)
    if tuple(name.strip() for name in rows.fieldnames or ()) != COLUMNS:
        raise Invalid(f"The examples' first line must be: {','.join(COLUMNS)}.", hint="See docs/policies.md.", reason="examples")
    found: list[Example] = []
    try:
        for number, row in enumerate(rows, start=2):
            if len(found) >= EXAMPLES_MAX:
                raise Invalid(f"More than {EXAMPLES_MAX} examples.", reason="examples")
            found.append(_example(number, {name: (row.get(name) or "").strip() for name in COLUMNS}))
    except csv.Error as wrong:
        raise Invalid(
            "The examples are no table of comma-separated values.", hint=f"Near line {rows.line_num}.", reason="examples"
        ) from wrong
    return found


def _example(line: int, row: dict[str, str]) -> Example:
    known = row["role"] in set(Role) and row["action"] in ACTIONS and known_thing(row["what"])
    if not known or not row["aal"].isdigit() or not row["minutes"].isdigit() or not row["answer"]:
        text = f"Line {line} of the examples is not one: {','.join(row.values())[:120]}."
        raise Invalid(text, hint="For example: doctor,export,Patient,203.0.113.9,2,0,export-inside", reason="examples")
    return Example(
        line=line, role=row["role"], action=row["action"], what=row["what"], address=row["address"], aal=int(row["aal"]),
        minutes=int(row["minutes"]), answer=row["answer"],
    )  # fmt: skip


def known_thing(what: str) -> bool:
    return what in RESOURCE_TYPES or what in PAGES or (what.startswith(PROGRAM_MARK) and len(what) > len(PROGRAM_MARK))


def facts_of(what: str) -> Facts:
    """What an example, or an officer who asks, means by a word."""
    if what.startswith(PROGRAM_MARK):
        return Facts(kind=PROGRAM, program=what.removeprefix(PROGRAM_MARK))
    return Facts(kind=what) if what in RESOURCE_TYPES else Facts(kind=PAGE, page=what)


def answered(one: Example, rules: Rules, networks: Networks) -> Refused | None:
    place, site = networks.of(one.address)
    standing = Standing(place=place, site=site, aal=one.aal, minutes=one.minutes)
    facts = facts_of(one.what)
    actor = Actor(person="example", name="", role=one.role, hospital=None, session="")
    return rules.refusal(actor, one.action, facts, standing)


def check_examples(examples: Iterable[Example], rules: Rules, networks: Networks) -> int:
    """How many there are; raises Invalid at the first whose answer is another."""
    count = 0
    for one in examples:
        found = answered(one, rules, networks)
        given = found.rule if found is not None else ALLOW
        if given != one.answer:
            text = f"Line {one.line} of the examples wants '{one.answer}', and the rules say '{given}'."
            raise Invalid(text, hint="Correct the rules, or the example.", reason="examples")
        count += 1
    return count
