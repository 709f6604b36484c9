"""What the two-person canary is: its judgement of a round, pure, and the row in which its last word is kept.

The worst fault of a gateway is to hand one person another's page. So two sessions of nobody are asked, mixed, over connections
that they share: every answer must be the own session's, and a proof by the other's key must be refused.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cloister.farm.placement import Server, ServerState, silent
from cloister.farm.proofs import ProofKey

PERSONS: Final = ("canary-a", "canary-b")  # nobody: no row of a person, so no key, no grant and no zone
FREE_LEFT: Final = 4  # slots that stay free for people beside the two, or there is no round
SHOWN_HOURS: Final = 24  # an alarm is shown for so long after the last crossed answer; the audit log keeps it

CLEAN: Final = """
    insert into estate.canary (controller, clean) values ($1, now())
    on conflict (controller) do update set clean = excluded.clean"""
CROSSED: Final = """
    insert into estate.canary (controller, alarmed, what) values ($1, now(), $2)
    on conflict (controller) do update set alarmed = excluded.alarmed, what = excluded.what"""
LAST: Final = f"""
    select max(clean) as clean, max(alarmed) filter (where recent) as alarmed,
           coalesce(string_agg(controller || ': ' || what, '; ' order by alarmed) filter (where recent), '') as what
      from (select *, coalesce(alarmed > now() - interval '{SHOWN_HOURS} hours', false) as recent from estate.canary limit 100) c"""


@dataclass(frozen=True, slots=True)
class Bird:
    """One of the two sessions, and the key that its ticket is bound to."""

    person: str
    session: str
    server: str
    ticket: str
    key: ProofKey


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back over the gateway; `session` and `person` as the session that answered calls itself."""

    status: int
    nonce: str = ""
    session: str = ""
    person: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    """Who was asked for, by whose key, and what came."""

    bird: Bird
    by: Bird
    answer: Answer


def crossings(heard: Sequence[Heard]) -> list[str]:
    """A sentence for every answer that is somebody else's and every wrong key that was taken."""
    found = []
    for one in heard:
        if one.answer.status != 200:
            continue
        if one.by is not one.bird:
            found.append(f"{one.bird.person} answered to the key of {one.by.person}")
        if (one.answer.session, one.answer.person) != (one.bird.session, one.bird.person):
            found.append(f"{one.bird.person} got the page of {one.answer.person or 'nobody'}")
    return found


def unanswered(birds: Sequence[Bird], heard: Sequence[Heard]) -> list[str]:
    """Whose own key was never answered, and who was never asked with a wrong one: without both a round proves nothing."""
    own = {one.bird.person for one in heard if one.by is one.bird and one.answer.status == 200}
    refused = {one.bird.person for one in heard if one.by is not one.bird}
    return [bird.person for bird in birds if bird.person not in own or bird.person not in refused]


def roomy(servers: Sequence[Server], now: Any) -> list[str]:
    """Servers on which the two take nothing that people could want."""
    fit = [one for one in servers if one.state is ServerState.READY and not silent(one, now) and one.free >= FREE_LEFT + len(PERSONS)]
    return [one.id for one in fit]


class Words:
    """The row of this controller, and what all controllers' rows say together."""

    def __init__(self, fetch: Callable[..., Awaitable[Sequence[Any]]], controller: str) -> None:
        self._fetch = fetch
        self._controller = controller

    async def keep(self, crossed: Sequence[str]) -> None:
        if crossed:
            await self._fetch(CROSSED, self._controller, said(crossed))
        else:
            await self._fetch(CLEAN, self._controller)

    async def last(self, by: object = None, words: Mapping[str, Any] | None = None) -> dict[str, str]:
        """The operators' act `canary`: {clean, alarmed, what}; `alarmed` is empty when nothing crossed in SHOWN_HOURS."""
        (row,) = await self._fetch(LAST)
        clean, alarmed = ("" if row[name] is None else row[name].isoformat(timespec="seconds") for name in ("clean", "alarmed"))
        return {"clean": clean, "alarmed": alarmed, "what": str(row["what"])}


def said(crossed: Sequence[str]) -> str:
    return f"{len(crossed)} answers crossed: {crossed[0]}"[:200]
