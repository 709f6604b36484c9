"""A trust's own Cedar text, read and asked. It may hold `forbid` only, each with a name and a sentence for people.

@id("export-inside") @en("…") @fr("…") and, where there is something to do next, @en_hint("…") @fr_hint("…").
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import cedarpy

from cloister.access.actor import PAGE, PROGRAM, Actor, Facts
from cloister.access.policy import entities
from cloister.access.rules.standing import Standing
from cloister.base.errors import Invalid

TEXT_CHARACTERS_MAX: Final = 200_000
DECISIONS_MAX: Final = 8192
SCHEMA: Final = (Path(__file__).parent / "rules.cedarschema").read_text(encoding="utf-8")  # now: a session opens no file
_ID: Final = re.compile(r"[a-z][a-z0-9-]{1,60}")
# Cedar forbids only against something that permits; this is no permission, because the program's own policy is asked too.
_OTHERWISE: Final = '@id("otherwise") permit (principal, action, resource);'
AAL_MOST: Final = 3


class Act(StrEnum):
    """What only a trust's rules decide about; the program's policy has decided about the reading or writing behind it."""

    SIGN_IN = "sign-in"
    EXPORT = "export"
    PRINT = "print"
    SIGN = "sign"  # a prescription
    RELEASE = "release"  # a key: by an officer
    RUN = "run"  # a published program: its start, and its screen as long as it is shown
    COPY_IN = "copy-in"  # by the clipboard, from the person's computer to the program
    COPY_OUT = "copy-out"
    SEND_FILE = "send-file"  # from the person's computer to the program
    TAKE_FILE = "take-file"
    CONNECT = "connect"  # a certificate for the VPN


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Why. `remedy`: what would lift it — 'step-up' (prove yourself again), 'second-factor', or nothing that one can do here."""

    rule: str
    version: int
    texts: Mapping[str, str]
    remedy: str = ""

    def sentence(self, language: str) -> tuple[str, str]:
        """The sentence and the hint, in this language or in English."""
        chosen = language[:2]
        return self.texts.get(chosen, self.texts["en"]), self.texts.get(f"{chosen}_hint", self.texts.get("en_hint", ""))


Question = tuple[str, str, str, str, str, str, str, str, str, int, int, frozenset[str], str, str]


class Rules:
    """One version of a trust's rules. Asked once per different question and remembered."""

    def __init__(self, text: str, version: int = 0) -> None:
        """Raises Invalid, naming the rule, when the text is not what rules may be."""
        self.version = version
        self.text = text
        self._texts = _annotations(text)
        whole = f"{_OTHERWISE}\n{text}"
        found = cedarpy.validate_policies(whole, SCHEMA)
        if not found.validation_passed:
            what = str(found.errors[0].error)[:300] if found.errors else ""
            raise Invalid(
                f"The rules ask for what they are never told: {what}", hint="See rules.cedarschema in docs/policies.md.", reason="rules"
            )
        self._policies = cedarpy.PolicySet.from_str(whole)
        self._entities = cedarpy.Entities.from_json_str(entities())
        self._decisions: OrderedDict[Question, Refused | None] = OrderedDict()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._texts)

    def refusal(self, actor: Actor, action: str, facts: Facts, standing: Standing) -> Refused | None:
        """None where no rule forbids it."""
        s = standing
        question: Question = (
            actor.person, actor.role, actor.hospital or "", action, facts.kind, facts.page, facts.program, s.place, s.site, s.aal,
            s.minutes, s.factors, s.application, s.account,
        )  # fmt: skip
        try:
            return self._decisions[question]
        except KeyError:
            pass
        answer = self._asked(actor, action, facts, standing)
        if len(self._decisions) >= DECISIONS_MAX:
            self._decisions.popitem(last=False)
        self._decisions[question] = answer
        return answer

    def _asked(self, actor: Actor, action: str, facts: Facts, standing: Standing) -> Refused | None:
        rule = self._rule(actor, action, facts, standing)
        if rule is None:
            return None
        remedy = ""
        if standing.minutes and self._rule(actor, action, facts, replace(standing, minutes=0)) is None:
            remedy = "step-up"
        elif standing.aal < AAL_MOST and self._rule(actor, action, facts, replace(standing, aal=AAL_MOST, minutes=0)) is None:
            remedy = "second-factor"
        return Refused(rule=rule, version=self.version, texts=self._texts[rule], remedy=remedy)

    def _rule(self, actor: Actor, action: str, facts: Facts, standing: Standing) -> str | None:
        request = {
            "principal": {"type": "Role", "id": actor.role},
            "action": {"type": "Action", "id": str(action)},
            "resource": _resource(facts),
            "context": {
                "person": actor.person,
                "hospital": actor.hospital or "",
                "place": standing.place,
                "site": standing.site,
                "aal": standing.aal,
                "minutes": standing.minutes,
                "factors": sorted(standing.factors),
                "application": standing.application,
                "account": standing.account,
            },
        }
        result = cedarpy.is_authorized(request, self._policies, self._entities)
        named = sorted(name for name in result.diagnostics.id_annotations_by_reason.values() if name in self._texts)
        if result.diagnostics.errors:  # a rule that could not be evaluated is skipped by Cedar; here it refuses
            return named[0] if named else next(iter(self._texts))
        return None if result.allowed else named[0]


def _resource(facts: Facts) -> dict[str, str]:
    if facts.kind == PAGE:
        return {"type": "Page", "id": facts.page}
    if facts.kind == PROGRAM:
        return {"type": "Program", "id": facts.program}
    return {"type": "Resource", "id": facts.kind}


def _annotations(text: str) -> dict[str, dict[str, str]]:
    if len(text) > TEXT_CHARACTERS_MAX:
        raise Invalid("These rules are too long.", hint=f"At most {TEXT_CHARACTERS_MAX} characters.", reason="rules")
    try:
        parsed: dict[str, Any] = json.loads(cedarpy.policies_to_json_str(text))
    except ValueError as wrong:
        raise Invalid(f"This is not Cedar: {str(wrong)[:300]}", hint="See docs/policies.md.", reason="rules") from None
    if parsed.get("templates") or parsed.get("templateLinks"):
        raise Invalid("Rules are no templates.", hint="Write each rule out.", reason="rules")
    found: dict[str, dict[str, str]] = {}
    for policy in parsed["staticPolicies"].values():
        notes = {str(name): str(value) for name, value in (policy.get("annotations") or {}).items()}
        name = notes.get("id", "")
        if policy["effect"] != "forbid":
            raise Invalid(
                f"The rule '{name or '?'}' permits.", hint="A trust's own rules forbid; what is permitted is the program's.", reason="rules"
            )
        if not _ID.fullmatch(name) or name in found:
            raise Invalid(f"A rule has no name of its own: '{name[:60]}'.", hint='Write @id("export-inside").', reason="rules")
        if not notes.get("en"):
            raise Invalid(f"The rule '{name}' says nothing to people.", hint='Write @en("…") and @fr("…").', reason="rules")
        found[name] = {key: value[:300] for key, value in notes.items() if key != "id"}
    return found
