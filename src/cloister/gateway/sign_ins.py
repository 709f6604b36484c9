"""What the assembly puts together so that people can sign in; an inner list, because the room's door is narrow."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from cloister.farm import Session
from cloister.gateway.cards_in_use import CardsInUse
from cloister.gateway.directory import SCHEMAS, Directories, Directory, Ldap, Proposals, Synchronising
from cloister.gateway.factors import Factors
from cloister.gateway.house_rules import HouseRules
from cloister.gateway.identity_tokens import IdentityKey, new_keys
from cloister.gateway.kept import DoorKey, Kept
from cloister.gateway.providers import Providers
from cloister.gateway.refusals import Refusals

Asked = Callable[[Session, Mapping[str, Any]], Awaitable[dict[str, Any]]]
Audit = Callable[[Sequence[dict[str, str]]], Awaitable[None]]
READING = frozenset({"signed_in_how", "ways_list"})


def audited(further: Mapping[str, Asked], audit: Audit) -> dict[str, Asked]:
    """What changes somebody's second factors is on record before it is done."""

    def noted(name: str, asked: Asked) -> Asked:
        async def answer(session: Session, words: Mapping[str, Any]) -> dict[str, Any]:
            note = {
                "action": name.replace("_", "-"),
                "kind": "factor",
                "object": f"person/{session.person}",
                "outcome": "success",
                "reason": "",
            }
            await audit([{**note, "actor": session.person, "session": session.id}])
            return await asked(session, words)

        return answer

    return {name: asked if name in READING else noted(name, asked) for name, asked in further.items()}


__all__ = [
    "SCHEMAS",
    "CardsInUse",
    "Directories",
    "Directory",
    "DoorKey",
    "Factors",
    "HouseRules",
    "IdentityKey",
    "Kept",
    "Ldap",
    "Proposals",
    "Providers",
    "Refusals",
    "Synchronising",
    "audited",
    "new_keys",
]
