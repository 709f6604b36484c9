"""A policy behind a trust's rules: first what the program permits, then what the trust forbids here and now.

Where the request comes from is a context variable, because one session answers several requests at once. What a session does by
itself, for nobody's request, is decided by the program's policy alone.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

from cloister.access.actor import Action, Actor, Facts, Permit
from cloister.access.policy import Policy
from cloister.access.rules.checked import Act, Refused, Rules
from cloister.access.rules.standing import Standing
from cloister.base.errors import NOTHING, Denied

PRESCRIPTIONS: Final = frozenset({"MedicationRequest"})
SIGNED_BY_WRITING: Final = frozenset({Action.CREATE, Action.UPDATE})

standing_now: ContextVar[Standing | None] = ContextVar("standing", default=None)


class Forbidden(Denied):
    """Refused by a trust's own rule. `remedy`: 'step-up' or 'second-factor' where that would help."""

    def __init__(self, refused: Refused, language: str, asked: tuple[str, str] = NOTHING) -> None:
        text, hint = hinted(refused, language)
        super().__init__(text, hint=hint, reason=refused.rule, asked=asked)
        self.refused = refused
        self.remedy = refused.remedy


class Placed(Policy):
    """Asks like a Policy. `rules` gives the version in force at each question."""

    def __init__(self, policy: Policy, rules: Callable[[], Rules]) -> None:
        self._policy = policy
        self._rules = rules

    def decide(self, actor: Actor, action: str, facts: Facts) -> Permit:
        permit = self._policy.decide(actor, action, facts)
        self.check(actor, action, facts)
        # Whoever writes a prescription signs it: the commit carries their signature (docs/spec/zones.md 11).
        if facts.kind in PRESCRIPTIONS and action in SIGNED_BY_WRITING:
            self.check(actor, Act.SIGN, facts)
        return permit

    def check(self, actor: Actor, action: str, facts: Facts) -> None:
        standing = standing_now.get()
        if standing is None:
            return
        refused = self._rules().refusal(actor, action, facts, standing)
        if refused is not None:
            raise Forbidden(refused, actor.language, (str(action), facts.what))


def hinted(refused: Refused, language: str) -> tuple[str, str]:
    """The sentence, and what to do next with the rule's own name, by which an officer finds it."""
    text, hint = refused.sentence(language)
    rule = (
        f"Rule {refused.rule}, version {refused.version}." if language[:2] != "fr" else f"Règle {refused.rule}, version {refused.version}."
    )
    return text, f"{hint} {rule}".strip()
