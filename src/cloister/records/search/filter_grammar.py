"""The text of `_filter` as a tree. Spec: http://hl7.org/fhir/R4/search_filter.html (its formal grammar).

`not` binds closest, then `and`, then `or`. Nothing is looked up here: whether a name is a search parameter is decided
when the tree is compiled (filter.py). Every error names the character at which it was noticed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final

from cloister.base.errors import Invalid

CHARACTERS_MAX: Final = 8000
TESTS_MAX: Final = 100
DEPTH_MAX: Final = 16
NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_\-]*")
TYPE: Final = re.compile(r":([A-Z][A-Za-z]*)")
WORD: Final = re.compile(r"[a-z]+")
TOKEN: Final = re.compile(r"[^\s\])]+")
TEXT: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
BLANK: Final = re.compile(r"\s*")
OPERATORS: Final = ("eq", "ne", "co", "sw", "ew", "gt", "lt", "ge", "le", "ap", "sa", "eb", "pr", "po", "ss", "sb", "in", "ni", "re")
EXAMPLE: Final = 'Write it like given eq "peter" and birthdate ge 2014-10-10.'


@dataclass(frozen=True, slots=True)
class Step:
    """One name of a path; `where` is the filter in its brackets, about what the name leads to."""

    name: str
    type: str
    where: Node | None
    at: int


@dataclass(frozen=True, slots=True)
class Test:
    path: tuple[Step, ...]
    operator: str
    value: str
    at: int  # of the operator
    value_at: int


@dataclass(frozen=True, slots=True)
class Not:
    part: Node


@dataclass(frozen=True, slots=True)
class All:
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Any:
    parts: tuple[Node, ...]


Node = Test | Not | All | Any


def wrong(text: str, at: int, hint: str = EXAMPLE) -> Invalid:
    """`at` counts characters from 0; people count them from 1."""
    return Invalid(f"{text}, at character {at + 1} of _filter.", hint=hint, reason="filter", expression="_filter")


def parsed(text: str) -> Node:
    """The tree of a filter; raises Invalid with the place."""
    if len(text) > CHARACTERS_MAX:
        raise Invalid(f"A _filter has at most {CHARACTERS_MAX} characters.", hint="Shorten it.", reason="filter", expression="_filter")
    reader = _Reader(text)
    node = reader.either(0)
    if reader.at < len(text):
        raise wrong(f"'{reader.rest()}' is not expected", reader.at, "Join tests with 'and' or 'or', and close what is open.")
    return node


def conjuncts(node: Node) -> tuple[Node, ...]:
    """What must hold together at the top."""
    return tuple(one for part in node.parts for one in conjuncts(part)) if isinstance(node, All) else (node,)


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = BLANK.match(text).end()  # type: ignore[union-attr]  # it matches everywhere
        self.tests = 0

    def rest(self) -> str:
        return self.text[self.at : self.at + 20]

    def either(self, depth: int) -> Node:
        parts = [self.both(depth)]
        while self._word("or"):
            parts.append(self.both(depth))
        return parts[0] if len(parts) == 1 else Any(tuple(parts))

    def both(self, depth: int) -> Node:
        parts = [self.one(depth)]
        while self._word("and"):
            parts.append(self.one(depth))
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def one(self, depth: int) -> Node:
        if depth > DEPTH_MAX:
            raise wrong("This filter is nested too deeply", self.at, f"At most {DEPTH_MAX} brackets stand inside each other.")
        start = self.at
        negated = self._word("not")
        if self._sign("("):
            inner = self.either(depth + 1)
            if not self._sign(")"):
                raise wrong("A ')' is missing", self.at, f"Close the '(' of character {start + 1}.")
            return Not(inner) if negated else inner
        if negated:
            raise wrong("What follows 'not' is not in parentheses", self.at, 'Write not (given eq "peter").')
        return self._test(depth)

    def _test(self, depth: int) -> Test:
        self.tests += 1
        if self.tests > TESTS_MAX:
            raise wrong(f"This filter has more than {TESTS_MAX} tests", self.at, "Split it.")
        path = [self._step(depth)]
        while self.text.startswith(".", self.at):
            self.at += 1
            path.append(self._step(depth))
        if path[-1].where is not None:
            raise wrong("After a ']' the path goes on", self.at, "Write it like subject[family eq x].birthdate ge 1970.")
        self._blank()
        at = self.at
        word = WORD.match(self.text, at)
        operator = word[0] if word else ""
        if operator not in OPERATORS:
            raise wrong(f"'{self.rest()}' is no comparison", at, f"Use one of {', '.join(OPERATORS)}.")
        self.at += len(operator)
        if not self._blank():
            raise wrong("A blank is missing after the comparison", self.at)
        value_at = self.at
        return Test(tuple(path), operator, self._value(), at, value_at)

    def _step(self, depth: int) -> Step:
        at = self.at
        name = NAME.match(self.text, at)
        if name is None:
            found = f"'{self.rest()}'" if at < len(self.text) else "the end"
            raise wrong(f"The name of a search parameter is expected instead of {found}", at)
        self.at = name.end()
        of = TYPE.match(self.text, self.at)
        if of is not None:
            self.at = of.end()
        where: Node | None = None
        if self.text.startswith("[", self.at):
            self.at += 1
            self._blank()
            where = self.either(depth + 1)
            if not self.text.startswith("]", self.at):
                raise wrong("A ']' is missing", self.at, f"Close the '[' after '{name[0]}'.")
            self.at += 1
        return Step(name[0], of[1] if of is not None else "", where, at)

    def _value(self) -> str:
        text = TEXT.match(self.text, self.at)
        if text is not None:
            try:
                value = json.loads(text[0], strict=False)
            except ValueError:
                raise wrong("This text is no JSON string", self.at, 'Write " inside it as \\".') from None
            self.at = text.end()
        else:
            token = TOKEN.match(self.text, self.at)
            if token is None or token[0].startswith('"'):
                raise wrong(
                    "A value is missing" if token is None else "This text is not closed", self.at, "Give a value, or close its quotes."
                )
            value = token[0]
            self.at = token.end()
        self._blank()
        return str(value)

    def _word(self, word: str) -> bool:
        """True, and past it, if this word of its own comes next."""
        end = self.at + len(word)
        if not self.text.startswith(word, self.at) or self.text[end : end + 1] not in (" ", "(", "\t", "\n", "\r"):
            return False
        self.at = end
        self._blank()
        return True

    def _sign(self, sign: str) -> bool:
        if not self.text.startswith(sign, self.at):
            return False
        self.at += 1
        self._blank()
        return True

    def _blank(self) -> bool:
        before = self.at
        self.at = BLANK.match(self.text, before).end()  # type: ignore[union-attr]
        return self.at > before
