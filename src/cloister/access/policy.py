"""The policy: Cedar text (policies/*.cedar), asked once per different question and remembered.

Read before a session is hardened, because afterwards it can open no file. A permit opens nothing by
itself: the zone's key must be held too (zones room).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

import cedarpy

from cloister.access.actor import ESTATE, PAGE, Action, Actor, Facts, Permit
from cloister.access.kinds import GROUPS, NURSING, RESOURCE_TYPES
from cloister.access.reason import Reason
from cloister.base.errors import Corrupt, Denied
from cloister.identity import Role

FOLDER: Final = Path(__file__).parent / "policies"
DECISIONS_MAX: Final = 8192  # different questions remembered; a session asks a few hundred
ROLES: Final = frozenset(role.value for role in Role)
ACTIONS: Final = frozenset(action.value for action in Action)
REASONS: Final = frozenset(reason.value for reason in Reason)
_READS: Final = (Action.VREAD, Action.SEARCH, Action.HISTORY, Action.VIEW)
_WRITES: Final = (Action.CREATE, Action.UPDATE, Action.DELETE)
_FORBID: Final = re.compile(r'@id\("([^"]+)"\)\s*forbid\b')

Question = tuple[str, str, str, str, str, str, frozenset[str]]


def entities() -> str:
    """Which type is in which group, and which action in which: what Cedar needs to answer `in`."""
    rows: list[dict[str, object]] = []
    for kind in sorted(RESOURCE_TYPES):
        parents = [{"type": "Group", "id": group.value} for group, kinds in GROUPS.items() if kind in kinds]
        if kind in NURSING:
            parents.append({"type": "Group", "id": "nursing"})
        rows.append({"uid": {"type": "Resource", "id": kind}, "attrs": {}, "parents": parents})
    for whole, parts in ((Action.READ, _READS), (Action.WRITE, _WRITES)):
        parents = [{"type": "Action", "id": whole.value}]
        rows += [{"uid": {"type": "Action", "id": part.value}, "attrs": {}, "parents": parents} for part in parts]
    return json.dumps(rows)


class Policy:
    """Answers one kind of question: may this role do this to that kind of thing, for this purpose?"""

    def __init__(self, text: str) -> None:
        """Raises Corrupt when the text is not Cedar, or forbids for a reason that is not on the list."""
        try:
            self._policies = cedarpy.PolicySet.from_str(text)
            self._entities = cedarpy.Entities.from_json_str(entities())
        except ValueError as fault:
            raise Corrupt("The access policies cannot be read.", hint="See src/cloister/access/policies.") from fault
        unnamed = set(_FORBID.findall(text)) - REASONS
        if unnamed:
            raise Corrupt(f"The policy forbids for a reason without a sentence: {', '.join(sorted(unnamed))}.")
        self._decisions: dict[Question, Permit | Reason] = {}

    def decide(self, actor: Actor, action: str, facts: Facts) -> Permit:
        """The permit; raises Denied with a reason of the list and a sentence in the actor's language."""
        question: Question = (actor.role, action, facts.kind, facts.page, facts.purpose, facts.compartment, facts.zones)
        answer = self._decisions.get(question)
        if answer is None:
            answer = self._answer(question)
            if len(self._decisions) >= DECISIONS_MAX:
                self._decisions.clear()
            self._decisions[question] = answer
        if isinstance(answer, Permit):
            return answer
        text, hint = answer.sentence(actor.language)
        raise Denied(text, hint=hint, reason=answer, asked=(str(action), facts.what))

    def check(self, actor: Actor, action: str, facts: Facts) -> None:
        """What only a trust's own rules decide (rules/placed.py): without them, nothing is forbidden here."""

    def _answer(self, question: Question) -> Permit | Reason:
        role, action, kind, page, purpose, compartment, zones = question
        if role not in ROLES:
            return Reason.ROLE_UNKNOWN
        if action not in ACTIONS:
            return Reason.ACTION_UNKNOWN
        if action == Action.LOOK_CIPHERTEXT:
            resource = {"type": "Estate", "id": "ciphertext"}
        elif kind == PAGE:
            resource = {"type": "Page", "id": page}
        elif kind in RESOURCE_TYPES:
            resource = {"type": "Resource", "id": kind}
        else:
            return Reason.NOT_PERMITTED if kind == ESTATE else Reason.KIND_UNKNOWN
        request = {
            "principal": {"type": "Role", "id": role},
            "action": {"type": "Action", "id": action},
            "resource": resource,
            "context": {"purpose": purpose, "compartment": compartment, "zones": sorted(zones)},
        }
        result = cedarpy.is_authorized(request, self._policies, self._entities)
        rules = tuple(sorted(result.diagnostics.id_annotations_by_reason.values()))
        if result.diagnostics.errors:  # a rule that could not be evaluated is skipped by Cedar; here it refuses
            return Reason.NOT_PERMITTED
        if result.allowed:
            return Permit(role=role, action=action, kind=kind, purpose=purpose, rules=rules)
        return Reason(rules[0]) if rules and rules[0] in REASONS else Reason.NOT_PERMITTED


def read_policy(folder: Path = FOLDER) -> Policy:
    """The policy of this image; every file of the folder takes part, in the order of their names."""
    files = sorted(folder.glob("*.cedar"))
    if not files:
        raise Corrupt("There are no access policies.", hint="Install the package again: its policies folder is missing.")
    return Policy("\n".join(file.read_text(encoding="utf-8") for file in files))
