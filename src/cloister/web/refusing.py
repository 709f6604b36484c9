"""What a session refused its person by policy: a number for each, shown to the person, told to the controller. docs/policies.md.

The same question within a minute keeps its number, so that a program in a loop fills nothing. Nothing of a patient is in it: the kind of a
thing or the page, the rule, and where the request came from.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from cloister.access import Reason, rules
from cloister.base.errors import CloisterError
from cloister.base.telemetry import log
from cloister.epr import LANGUAGES
from cloister.web.allowed import Ask

SAME_SECONDS: Final = 60.0
NUMBERS_A_MINUTE_MAX: Final = 30
TRIES: Final = 4
RETRY_SECONDS: Final = 5.0


@dataclass(slots=True)
class Refusals:
    """`ask` is a question to the controller, which knows whose session this is; `clock` in seconds of a steady clock."""

    ask: Ask
    clock: Callable[[], float]
    _recent: dict[tuple[str, ...], tuple[float, str]] = field(default_factory=dict)
    _telling: set[asyncio.Task[None]] = field(default_factory=set)

    def note(self, refused: CloisterError) -> str:
        now, standing = self.clock(), rules.standing_now.get() or rules.Standing()
        question = (*refused.asked, str(refused.reason), standing.address, standing.application)
        self._recent = {key: value for key, value in self._recent.items() if now - value[0] < SAME_SECONDS}
        if question in self._recent:
            return self._recent[question][1]
        if len(self._recent) >= NUMBERS_A_MINUTE_MAX:
            return ""
        number = new_number()
        self._recent[question] = (now, number)
        task = asyncio.get_running_loop().create_task(self._tell(number, row_of(refused, standing)))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)
        return number

    async def _tell(self, number: str, row: dict[str, Any]) -> None:
        for turn in range(TRIES):
            try:
                await self.ask("refusal_noted", number=number, row=row)
                return
            except CloisterError as fault:
                log("session.refusal_untold", level="warning", number=number, turn=turn, reason=fault.reason)
                await asyncio.sleep(RETRY_SECONDS)


def new_number() -> str:
    """Ten digits to be read aloud; by chance, so that nobody learns from it how many there were."""
    digits = f"{secrets.randbelow(10**10):010d}"
    return f"{digits[:5]}-{digits[5:]}"


def said_of(refused: CloisterError, language: str) -> tuple[str, str]:
    """The rule's sentence and hint in this language."""
    if isinstance(refused, rules.Forbidden):
        return refused.refused.sentence(language)
    return Reason(refused.reason).sentence(language) if refused.reason in set(Reason) else (refused.text, refused.hint)


def row_of(refused: CloisterError, standing: rules.Standing) -> dict[str, Any]:
    return {
        "action": refused.asked[0],
        "what": refused.asked[1],
        "rule": str(refused.reason),
        "version": refused.refused.version if isinstance(refused, rules.Forbidden) else 0,
        "said": {language: list(said_of(refused, language)) for language in LANGUAGES},
        "remedy": refused.remedy,
        "place": standing.place,
        "site": standing.site,
        "address": standing.address,
        "aal": standing.aal,
        "minutes": standing.minutes,
        "factors": sorted(standing.factors),
        "application": standing.application,
    }
