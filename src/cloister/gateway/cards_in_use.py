"""Cards whose certificate opened a session that runs: looked at again, and the session ends with the card. RFC 5280 6.

As at the sign-in (certificate.py): chain, end, purpose and revocation, and whose it is. A list that is late signs nobody out, as an
outage of a directory does not; it only lets nobody in. Which certificate proved stands with the proof (factors.py), so whoever has
signed in anew by something else is not ended by an old card.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from cloister.base.clock import Clock
from cloister.base.errors import CloisterError, Denied
from cloister.base.telemetry import log
from cloister.farm import Broker, SessionState
from cloister.gateway.kept import Queries
from cloister.gateway.rounds import every
from cloister.zones import certificates

EVERY_SECONDS: Final = 5.0
AGAIN_AFTER: Final = timedelta(minutes=10)  # ends come by themselves; lists and owners are noticed when they change
REMOVED: Final = "certificate-removed"
UNKNOWN_NOW: Final = "certificate-list"
END: Final = "-----END CERTIFICATE-----"
IN_USE: Final = """
    select p.session, p.card, c.shown, coalesce(c.person = p.person, false) as theirs
      from estate.proof p left join estate.certificate c on c.fingerprint = p.card
     where p.session = any ($1) and p.card is not null"""
STAMP: Final = "select coalesce(string_agg(id || ' ' || changed, ',' order by id), '') as stamp from estate.card_authority"
AUTHORITIES: Final = "select chain, crls from estate.card_authority order by id limit 100"


class CardsInUse:
    def __init__(self, queries: Queries, broker: Broker, clock: Clock) -> None:
        self._queries = queries
        self._broker = broker
        self._clock = clock
        self._stamp = ""
        self._good: dict[bytes, datetime] = {}  # looked at with the authorities of this stamp, and when

    async def run(self) -> None:
        """For ever."""
        await every(EVERY_SECONDS, self.once, event="cards.fault")

    async def once(self) -> None:
        """End each session whose card does not hold any more; raises Unavailable while the database is away."""
        live = sorted(one.id for one in await self._broker.list_sessions() if one.kind == "person" and one.state is not SessionState.ENDING)
        used = await self._queries.fetch(IN_USE, live)
        for session, why in await self._over(used):
            log("cards.over", session=session, why=why)
            try:
                await self._broker.end_session(session, why)
            except CloisterError as gone:  # it ended by itself, or its server does not answer: the next round tries again
                log("cards.not_ended", level="warning", session=session, text=gone.text)

    async def _over(self, used: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
        """(session, why) of those that must end."""
        now, stamp = self._clock(), ""
        if used:
            stamp = str((await self._queries.fetchrow(STAMP))["stamp"])
        if stamp != self._stamp:
            self._stamp, self._good = stamp, {}
        cards = {bytes(one["card"]): str(one["shown"]) for one in used if one["theirs"]}
        self._good = {card: at for card, at in self._good.items() if card in cards and now - at < AGAIN_AFTER}
        fresh = {card: shown for card, shown in cards.items() if card not in self._good}
        rows = await self._queries.fetch(AUTHORITIES) if fresh else []
        # In a thread: a hospital's list may be megabytes, and its signature is verified.
        bad = await asyncio.to_thread(_refused, fresh, rows, now) if fresh else {}
        self._good |= dict.fromkeys(fresh.keys() - bad.keys(), now)
        whys = [(str(one["session"]), bad.get(bytes(one["card"]), "") if one["theirs"] else REMOVED) for one in used]
        return [(session, why) for session, why in whys if why]


def _refused(cards: Mapping[bytes, str], authorities: Sequence[Mapping[str, Any]], now: datetime) -> dict[bytes, str]:
    """Which of these certificates are not taken any more, and why. One that was never shown to this version is not judged."""
    chains, lists = [row["chain"] for row in authorities], [row["crls"] for row in authorities if row["crls"]]
    bad = {}
    for card, shown in cards.items():
        try:
            if shown:
                leaf, end, chain = shown.partition(END)
                certificates.verified_client(leaf + end, chain, chains, lists, now=now)
        except Denied as refused:
            if refused.reason != UNKNOWN_NOW:
                bad[card] = refused.reason
    return bad
