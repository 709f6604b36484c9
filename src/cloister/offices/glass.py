"""Break-glass in a session: ask with a reason, collect the colleagues' parts, open the zone in this memory for its time.
Spec: docs/spec/zones.md 21.

`Glass` belongs to one unlocked session and forgets everything with it. What is open ends on time, at sign-out, and within
seconds when an officer ends it: while something is open the session asks the gate every two seconds whether it still is.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import combinations
from typing import Any, Final

from cloister.base.clock import Clock
from cloister.base.errors import CloisterError, Corrupt, Denied, NotFound
from cloister.base.secret import Secret
from cloister.base.wire import Caller
from cloister.identity import learn_signers
from cloister.offices import glass_letters as letters
from cloister.zones import Forged, Keyring, Refusal, algorithms, envelope, glass

KIND: Final = "glass"
APPROVAL: Final = "approval"
REFUSAL: Final = "refusal"
REQUEST_SECONDS: Final = 900
WATCH_SECONDS: Final = 2.0
OFFICERS: Final = "access-officer"  # a role: whoever holds the office is told


@dataclass(frozen=True, slots=True)
class Offer:
    """A zone that this person may ask for."""

    zone: str
    name: str
    hospital: str
    ward: str | None
    approvers: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Asked:
    """One of this person's own requests. `approved`: names of those who agreed, as their signatures say."""

    request: str
    zone: str
    code: str
    until: datetime
    approved: tuple[str, ...]
    refused: tuple[str, ...]
    here: bool  # asked in this very session, which alone can open it


@dataclass(frozen=True, slots=True)
class Waiting:
    """A colleague's request that this person is asked to agree to."""

    request: str
    zone: str
    name: str
    code: str
    reason: str | None
    until: datetime
    answered: bool


@dataclass(frozen=True, slots=True)
class Opening:
    """What is open in need in this session."""

    request: str
    zone: str
    name: str
    until: datetime


@dataclass(slots=True)
class _Mine:
    ephemeral: algorithms.KemPrivate
    letter: letters.Letter


@dataclass(slots=True)
class Glass:
    """One session's break-glass. `changed` is told which zones were lost, or nothing when one was gained."""

    keyring: Keyring
    gate: Caller
    session: str
    clock: Clock
    changed: Callable[[frozenset[str]], None]
    openings: dict[str, Opening] = field(default_factory=dict)
    _mine: dict[str, _Mine] = field(default_factory=dict)
    _watch: asyncio.Task[None] | None = None
    _words: set[asyncio.Task[None]] = field(default_factory=set)

    # --- asking ---------------------------------------------------------------------------------------

    async def offers(self) -> list[Offer]:
        return [Offer(*row) for row in await self.gate.call("glass_offered")]

    async def ask(self, zone: str, code: str, reason: str) -> str:
        """The new request's id. Where no colleague must agree the zone is open when this returns."""
        now = self.clock()
        rows = await self.gate.call("glass_told", zone=zone)
        self.keyring.add_certificates(row[4] for row in rows["people"])
        policy = glass.policy_of(self.keyring.zone_record(zone, [rows["zone"]]).policy)
        if policy is None or policy.askers.get(self.keyring.person) != self.keyring.certificate.hash:
            raise _not_offered()
        told = self._told(rows["people"], policy, zone, now)
        ephemeral = algorithms.KemPrivate(algorithms.random(32))
        body = letters.letter(
            self.keyring, zone=zone, session=self.session, ephemeral=ephemeral.public, code=code, reason=reason, told=told, now=now
        )
        note = {"action": "glass-ask", "kind": "zone", "object": zone, "reason": code}
        audience = [*sorted(set(policy.pool) - {self.keyring.person}), OFFICERS]
        request: str = await self.gate.call(
            "request_open", kind=KIND, zone=zone, body=body, audience=audience, seconds=REQUEST_SECONDS, audit=[note]
        )
        self._mine[request] = _Mine(ephemeral, letters.verified_letter(self.keyring, body, now))
        if policy.approvers == 0:
            await self.open(request)
        return request

    def _told(self, people: Iterable[Any], policy: glass.GlassPolicy, zone: str, now: datetime) -> dict[str, bytes]:
        """Public keys of those who may read the reason: named by the signed policy, or access officers of this zone by their mandate."""
        told = {}
        for person, _, _, hashed, _, kem, _ in people:
            try:
                holder = self.keyring.author_at(hashed, now)
                if policy.pool.get(person) != hashed:
                    self.keyring.offices.access_key(hashed.hex(), zone=zone, now=now)
            except (Forged, Denied):
                continue
            if holder.person == person and holder.kem_digest == algorithms.sha256(kem):
                told[person] = kem
        return told

    async def asked(self) -> list[Asked]:
        """One's own open requests, with who has agreed."""
        found = []
        for row in await self.gate.call("requests", kinds=[KIND]):
            request, _, zone, person, *_ = row
            if person != self.keyring.person:
                continue
            whole = await self.gate.call("request", id=request)
            mine, letter = self._mine.get(request), await self._letter(whole["request"])
            approved = sorted(one.name for one in await self._approvals(whole["parts"], letter))
            refused = tuple(str(part[2]) for part in whole["parts"] if part[3] == REFUSAL)
            until = datetime.fromisoformat(row[9])
            found.append(Asked(request, zone, letter.code, until, tuple(approved), refused, mine is not None))
        return found

    async def withdraw(self, request: str) -> None:
        self._mine.pop(request, None)
        await self.gate.call("request_close", id=request, state="withdrawn")

    # --- agreeing -------------------------------------------------------------------------------------

    async def waiting(self) -> list[Waiting]:
        """The colleagues' requests that this person is asked to agree to; what does not verify is left out."""
        found = []
        for row in await self.gate.call("requests", kinds=[KIND]):
            if row[3] == self.keyring.person:
                continue
            whole = await self.gate.call("request", id=row[0])
            try:
                letter = await self._letter(whole["request"])
                reason = letters.reason_of(self.keyring, letter)
            except (Corrupt, Denied):
                continue
            answered = any(part[1] == self.keyring.person for part in whole["parts"])
            found.append(Waiting(row[0], row[2], letter.name, letter.code, reason, datetime.fromisoformat(row[9]), answered))
        return found

    async def approve(self, request: str) -> None:
        """Release one's own part to the asking session. The zone's signed policy must name both, by their exact certificates."""
        letter = await self._letter((await self.gate.call("request", id=request))["request"])
        if letter.person == self.keyring.person:
            raise Denied("Nobody agrees to one's own request.", hint="Ask a colleague.", reason="glass-self")
        got = await self.gate.call("glass_part", request=request)
        policy = glass.policy_of(self.keyring.zone_record(letter.zone, [got["zone"]]).policy)
        if policy is None or policy.askers.get(letter.person) != letter.certificate:
            raise Denied("The zone's policy does not let this person ask.", hint="Tell the access officer.", reason="glass-not-offered")
        part = self._part(
            got["parts"], letter.zone, lambda one: one.place != glass.ASKER and policy.pool.get(one.person) == one.certificate
        )
        body = letters.approval(self.keyring, letter, part, self.clock())
        await self.gate.call("request_part", id=request, kind=APPROVAL, body=body)

    async def refuse(self, request: str) -> None:
        await self.gate.call("request_part", id=request, kind=REFUSAL, body=b"", audit=[_note("glass-refuse", request)])

    # --- opening --------------------------------------------------------------------------------------

    async def open(self, request: str) -> Opening:
        """Combine the parts, prove the key by the epoch's commitment, and open the zone here for the policy's time."""
        mine = self._mine.get(request)
        if mine is None:
            raise Denied("Only the session that asked can open this.", hint="Ask again from here.", reason="other-session")
        whole = await self.gate.call("request", id=request)
        approvals = await self._approvals(whole["parts"], mine.letter)
        got = await self.gate.call("glass_open", request=request)
        until = datetime.fromisoformat(got["until"])
        try:
            part = self._part(got["parts"], mine.letter.zone, lambda one: one.place == glass.ASKER)
            self._opened(mine, part, approvals, got, request, until)
        except CloisterError:
            with contextlib.suppress(CloisterError):
                await self.gate.call("glass_end", request=request)
            raise
        del self._mine[request]
        opened = Opening(request, part.zone, self._name(part.zone), until)
        self.openings[request] = opened
        await self._handed_out(part.zone)
        self.changed(frozenset())
        if self._watch is None or self._watch.done():
            self._watch = asyncio.get_running_loop().create_task(self._watched())
        return opened

    def _opened(
        self, mine: _Mine, part: glass.GlassPart, given: Sequence[letters.Approval], got: Mapping[str, Any], request: str, until: datetime
    ) -> None:
        """Any enough of the parts that were released will do: one that somebody tampered with does not stop the others."""
        asker = Secret(self.keyring.open_sealed(part.sealed, part.info))
        shares: dict[str, tuple[int, bytes]] = {}
        for one in given:
            if one.set == part.set and one.epoch == part.epoch:
                with contextlib.suppress(Forged):
                    shares[one.person] = (one.place, letters.share_of(mine.ephemeral, one).reveal())
        refused: Forged | Denied = Denied("Not enough colleagues have agreed yet.", reason=Refusal.APPROVALS_MISSING)
        for some in combinations(shares.values(), part.approvers):
            try:
                key = glass.combined(asker, part.approvers, dict(some))
                self.keyring.open_in_need(key, part, [got["zone"]], got["epochs"], request=request, until=until)
                return
            except (Forged, Denied) as wrong:
                refused = wrong
        raise refused

    async def _handed_out(self, zone: str) -> None:
        """Until the gate's own memory of this session's zones has the new one."""
        for _ in range(60):
            if zone in await self.gate.call("zones"):
                return
            await asyncio.sleep(0.05)

    async def end(self, request: str) -> None:
        self._drop(request)
        await self.gate.call("glass_end", request=request)

    def close(self) -> None:
        """The session was locked or ends: nothing stays open, and the gate is told."""
        if self._watch is not None:
            self._watch.cancel()
        for request in list(self.openings):
            opened = self.openings.pop(request)
            self.keyring.end_need(opened.zone)
            task = asyncio.get_running_loop().create_task(self._say_ended(request))
            self._words.add(task)
            task.add_done_callback(self._words.discard)
        self._mine.clear()

    async def _say_ended(self, request: str) -> None:
        with contextlib.suppress(CloisterError):  # the gate ends it anyway when the session goes, or on time
            await self.gate.call("glass_end", request=request)

    def _drop(self, request: str) -> None:
        opened = self.openings.pop(request, None)
        if opened is not None:
            self.keyring.end_need(opened.zone)
            self.changed(frozenset({opened.zone}))

    async def _watched(self) -> None:
        while self.openings:
            left = min(one.until for one in self.openings.values()) - self.clock()
            await asyncio.sleep(min(WATCH_SECONDS, max(left.total_seconds(), 0.0) + 0.01))
            alive = set(self.openings)
            with contextlib.suppress(CloisterError):  # without the gate no row comes either; on time it ends here by itself
                alive = {row[0] for row in await self.gate.call("glass_mine")}
            for request, one in list(self.openings.items()):
                if request not in alive or self.clock() >= one.until:
                    self._drop(request)

    # --- verifying ------------------------------------------------------------------------------------

    def _name(self, zone: str) -> str:
        return next((held.name for held in self.keyring.zones if held.zone == zone), zone)

    def _part(self, blobs: Iterable[bytes], zone: str, wanted: Callable[[glass.GlassPart], bool]) -> glass.GlassPart:
        """The newest of one's own verified parts that fits."""
        own = self.keyring.person, self.keyring.certificate.hash
        reason: Forged | Denied = _not_offered()
        for blob in blobs:
            try:
                part = glass.verified_part(blob, self.keyring.offices)
            except (Forged, Denied) as refused:
                reason = refused
                continue
            if part.zone == zone and (part.person, part.certificate) == own and wanted(part):
                return part
        raise reason

    async def _letter(self, row: Sequence[Any]) -> letters.Letter:
        """A request's letter, verified, and standing in its own place."""
        letter = await verified(self.keyring, self.gate, row[6], row[8], self.clock())
        if (letter.zone, letter.person, letter.session) != (row[2], row[3], row[5]):
            raise Forged(Refusal.SWAPPED)
        return letter

    async def _approvals(self, parts: Iterable[Sequence[Any]], letter: letters.Letter) -> list[letters.Approval]:
        """Each colleague's first verified approval; forged ones count for nothing."""
        found: dict[str, letters.Approval] = {}
        for _, _, _, kind, body, _ in parts:
            if kind == APPROVAL:
                with contextlib.suppress(Forged, Denied):
                    await learn_signers(self.gate, self.keyring, [body], self.clock())
                    one = letters.verified_approval(self.keyring, body, letter, self.clock())
                    found.setdefault(one.person, one)
        return list(found.values())


async def verified(keyring: Keyring, gate: Caller, blob: bytes, made: str, now: datetime) -> letters.Letter:
    await learn_signers(gate, keyring, [blob], now)
    letter = letters.verified_letter(keyring, blob, datetime.fromisoformat(made))
    if abs(letter.at - datetime.fromisoformat(made)) > timedelta(minutes=10):
        raise Forged(Refusal.ROLLED_BACK)  # an old letter in a new request
    return letter


def _note(action: str, request: str) -> dict[str, str]:
    return {"action": action, "kind": "zone", "reason": f"need {request}"}


def _not_offered() -> Denied:
    return Denied("Break-glass is not offered to you in this zone.", hint="Ask the access officer for a grant.", reason="glass-not-offered")


# --- officers -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Looked:
    """One opening as an officer sees it. `problem`: what of it does not verify."""

    request: str
    zone: str
    zone_name: str
    person: str
    name: str
    made: datetime
    until: datetime
    ended: datetime | None
    live: bool
    approvers: tuple[str, ...]
    code: str
    reason: str | None
    reviewer: str | None
    verdict: str
    problem: str


async def looked(keyring: Keyring, gate: Caller, now: datetime, *, reviewed: bool = False) -> list[Looked]:
    """Openings that nobody has reviewed; with `reviewed` all of them, newest first."""
    found = []
    for row in await gate.call("glass_openings", reviewed=reviewed):
        request, zone, zone_name, person, name, made, until, ended, _, reviewer, blob, word, live, approvers = row
        code, reason, verdict, problem = "other", None, "", ""
        try:
            letter = await verified(keyring, gate, blob, made, now)
            code, reason = letter.code, letters.reason_of(keyring, letter)
            if word is not None:
                await learn_signers(gate, keyring, [word], now)
                verdict = letters.verified_review(keyring, word, zone).verdict
        except (Corrupt, Denied) as refused:
            problem = refused.reason
        moments = (datetime.fromisoformat(made), datetime.fromisoformat(until), datetime.fromisoformat(ended) if ended else None)
        found.append(
            Looked(request, zone, zone_name, person, name, *moments, live, tuple(approvers), code, reason, reviewer, verdict, problem)
        )
    return found


async def review(keyring: Keyring, gate: Caller, request: str, verdict: str, now: datetime) -> None:
    """The officer's signed word; afterwards the opening is off the list."""
    for row in await gate.call("glass_openings", reviewed=False):
        if row[0] == request:
            body = letters.review(keyring, request=request, letter_hash=envelope.digest(row[10]), verdict=verdict, now=now)
            await gate.call("glass_review", request=request, review=body)
            return
    raise NotFound("There is no such opening to review.", hint="Load the page again.", reason="opening")
