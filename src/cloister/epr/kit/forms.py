"""Forms: what was typed, what is wrong with each field, and what is right. A wrong form comes back with all that was typed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Final

from starlette.datastructures import FormData
from starlette.requests import Request

from cloister.base.errors import CloisterError, Invalid
from cloister.epr.kit.moment import Moment, parse_moment
from cloister.epr.kit.words import Words

FIELDS_MAX: Final = 60
TEXT_CHARACTERS_MAX: Final = 100_000
LINE_CHARACTERS_MAX: Final = 500


@dataclass(slots=True)
class Form:
    """Reads fields one by one; afterwards `good` says whether all were right."""

    values: Mapping[str, str]
    words: Words
    wrong: dict[str, str] = field(default_factory=dict)  # field name to sentence
    refused: CloisterError | None = None  # what the store said when all fields were right

    @property
    def good(self) -> bool:
        return not self.wrong and self.refused is None

    def value(self, name: str, usual: str = "") -> str:
        return self.values.get(name, usual)

    def line(self, name: str, *, needed: bool = True, longest: int = LINE_CHARACTERS_MAX) -> str:
        text = self.values.get(name, "").strip()
        if needed and not text:
            self.wrong[name] = self.words("kit.form.needed")
        elif len(text) > longest:
            self.wrong[name] = self.words("kit.form.too-long", longest=longest)
        return text

    def text(self, name: str, *, needed: bool = True) -> str:
        return self.line(name, needed=needed, longest=TEXT_CHARACTERS_MAX).replace("\r\n", "\n")

    def choice(self, name: str, allowed: Sequence[str], *, needed: bool = True) -> str:
        text = self.line(name, needed=needed)
        if text and text not in allowed:
            self.wrong[name] = self.words("kit.form.choice")
        return text

    def decimal(self, name: str, *, low: Decimal, high: Decimal, unit: str, needed: bool = True) -> Decimal | None:
        """A number with a point or a comma; outside `low`..`high` it is taken for a slip of the pen."""
        text = self.line(name, needed=needed, longest=20).replace(",", ".").replace("\u202f", "").replace(" ", "")
        if not text or name in self.wrong:
            return None
        try:
            value = Decimal(text)
        except InvalidOperation:
            self.wrong[name] = self.words("kit.form.number")
            return None
        if not value.is_finite() or not low <= value <= high:
            self.wrong[name] = self.words("kit.form.range", low=low, high=high, unit=unit)
            return None
        return value

    def moment(self, name: str, *, now: datetime, needed: bool = True) -> Moment:
        """A date, as precise as it is known, with or without a time; not in the future."""
        text = self.line(name, needed=needed, longest=30)
        if not text or name in self.wrong:
            return Moment()
        moment = Moment(parse_moment(text))
        if not moment or moment.order.year < 1880:
            self.wrong[name] = self.words("kit.form.date")
        elif moment.order > now + timedelta(minutes=1):
            self.wrong[name] = self.words("kit.form.future")
        return moment


async def read_form(request: Request, words: Words) -> Form:
    """The fields of a POST; raises Invalid when it is not a form or far too large."""
    try:
        form: FormData = await request.form(max_files=0, max_fields=FIELDS_MAX, max_part_size=4 * TEXT_CHARACTERS_MAX)
    except (ValueError, AssertionError) as fault:
        raise Invalid(words("kit.form.unreadable")) from fault
    return Form({name: value for name, value in form.multi_items() if isinstance(value, str)}, words)


def empty_form(words: Words, values: Mapping[str, str] | None = None) -> Form:
    return Form(values or {}, words)
