"""The two-person canary at work: once a minute two sessions of nobody, asked over the gateway as people are. docs/gateway.md.

The two are started by the agent alone. They have no row among the sessions, hold no licence, stand in no queue, and end by
themselves soon after, should this controller die before it ends them: a session that nobody unlocks is ended by its agent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from cloister.base.errors import CloisterError, Unavailable
from cloister.base.ids import new_id
from cloister.base.settings import Settings
from cloister.base.telemetry import log
from cloister.farm import AgentCalls, Bearer, Server, Tickets, canary, operations, proofs
from cloister.gateway import envoy

FIRST_SECONDS: Final = 5.0
ROUND_SECONDS: Final = 60.0
RETRY_SECONDS: Final = 15.0  # after a round that was none, such as before the gateway listens
ASKED: Final = 20  # over each of two connections
WRONG_KEY_EVERY: Final = 5
ANSWER_SECONDS_MAX: Final = 5.0
UNLOCK_SECONDS: Final = 20  # then the session ends by itself
PATH: Final = "/session/state"
AWAY: Final = (CloisterError, OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, IndexError)


def trusting(settings: Settings) -> ssl.SSLContext:
    """Whom the canary believes to be the gateway: the local authority, and the chain that somebody else gave."""
    found = ssl.create_default_context(cafile=str(settings.ca_file) if settings.ca_file.exists() else None)
    if settings.tls_certificate is not None:
        found.load_default_certs()
        found.load_verify_locations(cafile=str(settings.tls_certificate))
        found.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    elif settings.acme_directory:
        found.load_default_certs()
        if settings.acme_ca is not None:
            found.load_verify_locations(cafile=str(settings.acme_ca))
    return found


class Wire:
    """One kept connection to the gateway: HTTP/1.1 by hand, so that who shares it is certain."""

    def __init__(self, base_url: str, tls: ssl.SSLContext) -> None:
        parts = urlsplit(base_url)
        self._where, self._tls, self._authority = (parts.hostname or "", parts.port or 443), tls, parts.netloc
        self._open: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, bird: canary.Bird, key: proofs.ProofKey, nonce: str) -> canary.Answer:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            if self._open is None:
                self._open = await asyncio.open_connection(*self._where, ssl=self._tls)
            reader, writer = self._open
            proof = key.proof("GET", f"https://{self._authority}{PATH}", nonce=nonce)
            lines = [f"GET {PATH} HTTP/1.1", f"host: {self._authority}", f"cookie: {envoy.TICKET_COOKIE}={bird.ticket}", f"dpop: {proof}"]
            writer.write("\r\n".join([*lines, "accept: application/json", "", ""]).encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            told = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            body = await reader.readexactly(int(told["content-length"])) if "content-length" in told else b""
        return _answer(int(head[0].split(" ")[1]), told.get("dpop-nonce", ""), body)

    def close(self) -> None:
        if self._open is not None:
            self._open[1].close()


def _answer(status: int, nonce: str, body: bytes) -> canary.Answer:
    """A page that is not the session's own JSON is somebody else's too."""
    try:
        said = json.loads(body)
    except ValueError:
        said = None
    facts: dict[str, Any] = said if isinstance(said, dict) else {}
    return canary.Answer(status, nonce, str(facts.get("session", "")), str(facts.get("person", "")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """`wire` opens one connection to the gateway; `destination` and `host` are where a server's slot is, as tickets say it."""

    servers: Callable[[], Awaitable[Sequence[Server]]]
    agents: Callable[[str], AgentCalls]
    tickets: Tickets
    destination: Callable[[str, int], str]
    host: Callable[[str], str]
    wire: Callable[[], Wire]
    audit: operations.Audit
    words: canary.Words
    clock: Callable[[], datetime]

    async def keep(self) -> None:
        await asyncio.sleep(FIRST_SECONDS)
        while True:
            pause = ROUND_SECONDS
            try:
                await self.judged()
            except AWAY as away:
                log("canary.no_round", level="warning", kind=type(away).__name__, reason=getattr(away, "reason", ""))
                pause = RETRY_SECONDS
            await asyncio.sleep(pause)

    async def judged(self) -> list[str]:
        """One round, and its word where people look. Raises what kept it from being one."""
        crossed = await self.round()
        if crossed:
            log("canary.crossed", level="error", crossed=len(crossed), text=crossed[0])
            note = {"action": "canary", "kind": "gateway", "object": "sessions", "outcome": "failed", "reason": canary.said(crossed)}
            try:
                await self.audit([note])
            finally:  # each of the two places is told, whatever became of the other
                await self.words.keep(crossed)
            return crossed
        await self.words.keep(crossed)
        log("canary.clean")
        return crossed

    async def round(self) -> list[str]:
        """What was crossed; nothing, if all is well. Raises Unavailable when nothing could be proved."""
        async with self._birds() as birds:
            heard = await self._asked(birds)
        crossed, silent = canary.crossings(heard), canary.unanswered(birds, heard)
        if silent and not crossed:
            raise Unavailable(f"{silent[0]} was not answered over the gateway.", reason="canary-silent")
        return crossed

    @asynccontextmanager
    async def _birds(self) -> AsyncIterator[list[canary.Bird]]:
        """Two live sessions of nobody, ended afterwards whatever happens."""
        roomy = canary.roomy(await self.servers(), self.clock())
        if not roomy:
            raise Unavailable("No server has room to spare.", reason="canary-room")
        begun: list[tuple[str, str]] = []
        try:
            yield [await self._bird(person, random.choice(roomy), begun) for person in canary.PERSONS]
        finally:
            await asyncio.shield(asyncio.gather(*(self._end(*one) for one in begun)))

    async def _bird(self, person: str, server: str, begun: list[tuple[str, str]]) -> canary.Bird:
        session, key = new_id(), proofs.ProofKey()
        begun.append((server, session))
        whose: dict[str, Any] = {"session": session, "person": person, "role": "canary", "kind": "person", "label": "", "epoch": 1}
        reply = await self.agents(server).call("spawn", **whose, limits={"unlock_seconds": UNLOCK_SECONDS})
        slot = int(reply["slot"])
        where, host = self.destination(server, slot), self.host(server)
        ticket = self.tickets.issue(
            session=session,
            destination=where,
            host=host,
            slot=slot,
            person=person,
            epoch=1,
            to=Bearer(jkt=key.jkt),
            seconds=UNLOCK_SECONDS * 2,
        )
        return canary.Bird(person, session, server, ticket, key)

    async def _end(self, server: str, session: str) -> None:
        with contextlib.suppress(CloisterError):
            await self.agents(server).call("end", session=session, reason="canary")

    async def _asked(self, birds: Sequence[canary.Bird]) -> list[canary.Heard]:
        """On two connections at once, both birds mixed on each, now and then with the other's key."""
        wires = [self.wire() for _ in birds]
        nonces = {bird.person: "" for bird in birds}
        heard: list[canary.Heard] = []

        async def mixed(wire: Wire, first: int) -> None:
            for number in range(ASKED):
                bird, other = birds[(first + number) % 2], birds[(first + number + 1) % 2]
                by = other if number % WRONG_KEY_EVERY == WRONG_KEY_EVERY - 1 else bird
                answer = await wire.ask(bird, by.key, nonces[bird.person])
                nonces[bird.person] = answer.nonce or nonces[bird.person]
                heard.append(canary.Heard(bird, by, answer))

        try:
            await asyncio.gather(*(mixed(wire, number) for number, wire in enumerate(wires)))
        finally:
            for wire in wires:
                wire.close()
        return heard
