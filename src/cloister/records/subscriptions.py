"""A session's part in subscriptions: seeing to its own, and deciding what others' are told of what it can open. docs/subscriptions.md.

Whoever writes looks afterwards whether somebody asked for it; any session that opens both the subscription and what was written
may do so. Only the program that asked writes its subscription's status. Nothing here is done before a write has been answered.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from typing import TYPE_CHECKING, Any, Final

from cloister.access import Action
from cloister.base.clock import iso
from cloister.base.errors import CloisterError, Conflict, Denied, Unavailable
from cloister.base.telemetry import log
from cloister.base.wire import Caller
from cloister.records import subscribed
from cloister.records.definitions import type_numbers
from cloister.records.dossier import Dossier, row_of
from cloister.records.draft import Draft
from cloister.records.lines import Line
from cloister.records.rowids import text_of
from cloister.records.search import Query
from cloister.records.stored import Stored
from cloister.records.subscribed import ACTIVE, OFF, REQUESTED, TYPE, NotSubscribed
from cloister.zones import channels

if TYPE_CHECKING:
    from cloister.records.room import Room

SOON_SECONDS: Final = 0.02
NOBODY_ASKED_SECONDS: Final = 2.0  # how long a session that found nothing to do lets its writes pass before it looks again
OWN_EVERY_SECONDS: Final = 15.0  # a program with active subscriptions looks for what others could not decide
PROGRAM: Final = "program"
CRITERIA_MAX: Final = 200

Key = tuple[bytes, bytes]


class Heeding(Caller):
    """The way to the store of whoever writes: after a write, somebody may have asked to be told."""

    def __init__(self, gate: Caller, subscriptions: Subscriptions) -> None:
        self._gate = gate
        self._subscriptions = subscriptions

    async def call(self, method: str, /, *, timeout_seconds: float = 30.0, **arguments: Any) -> Any:
        answer = await self._gate.call(method, timeout_seconds=timeout_seconds, **arguments)
        if method == "write" and answer is not False:  # the gate knows that nobody in the trust has asked
            self._subscriptions.heed()
        return answer

    def close(self) -> None:
        """The way stays open: it is the session's."""


class Subscriptions:
    """Of one session. `main`: of a narrowed token, the session's own, which does the work."""

    def __init__(self, room: Room, delivery: bytes, main: Subscriptions | None) -> None:
        """`delivery`: the delivery process's public key; empty where nothing can be sent."""
        self._room = room
        self._delivery = delivery
        self._main = main
        self._criteria: dict[Key, tuple[int, str, Query | None]] = {}  # version, owner, what is asked
        self._others: set[tuple[bytes, bytes, int]] = set()
        self._working: asyncio.Task[None] | None = None
        self._again = asyncio.Event()
        self._turn = asyncio.Lock()
        self._own = 0

    # --- what is written -------------------------------------------------------------------------------------

    async def asked(self, resource: dict[str, Any]) -> dict[str, Any]:
        """The Subscription that is stored for this one; raises what this session may not ask for, or nobody is sent."""
        room = self._room
        if room.actor.role != PROGRAM or room.patient:
            text = "Only a program of the trust subscribes."
            raise Denied(text, hint="Sign in as one, with a token that is not a patient's.", reason="not-a-program")
        if not self._delivery:
            raise Unavailable("This trust sends no notifications.", hint="The operator starts its delivery process.", reason="no-delivery")
        if resource.get("status") == OFF:
            return subscribed.asking(resource, room.actor.person, ())
        wish = subscribed.wish_of(resource, room.clock())
        await room.permit(Action.SEARCH, wish.query.type)
        await self._check_host(wish)
        return subscribed.asking(resource, room.actor.person, [self._sealed(wish, name, value) for name, value in wish.headers])

    async def _check_host(self, wish: subscribed.Wish) -> None:
        if [wish.host, wish.port] not in await self._room.gate.call("outbound_hosts"):
            raise NotSubscribed(
                "Nothing is sent to this address: the operator has not allowed its host.",
                hint=f"cloister outbound allow {wish.host}:{wish.port}",
                reason="host-not-allowed",
                expression="Subscription.channel.endpoint",
            )

    def _sealed(self, wish: subscribed.Wish, name: str, value: str) -> str:
        if subscribed.sealed_value(value) is not None:
            return f"{name}: {value}"
        sealed = channels.seal_header(self._delivery, self._room.actor.person, wish.endpoint, name, value)
        return f"{name}: {subscribed.SEALED}{base64.b64encode(sealed).decode()}"

    # --- afterwards -------------------------------------------------------------------------------------------

    def heed(self) -> None:
        """Something was written, or the session begins: look soon."""
        if self._main is not None:
            self._main.heed()
            return
        self._again.set()
        if self._working is None or self._working.done():
            self._working = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        await asyncio.sleep(SOON_SECONDS)
        while True:
            self._again.clear()
            try:
                found = await self.look()
            except CloisterError as away:
                log("session.not_notified", level="warning", reason=away.reason or away.category)
                found = 0
            if not found:
                await asyncio.sleep(NOBODY_ASKED_SECONDS)
            if not self._again.is_set():
                if not self._own:
                    return
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(OWN_EVERY_SECONDS):
                        await self._again.wait()

    async def look(self) -> int:
        """Own subscriptions are seen to, and what was written is decided; how much there was to do."""
        if self._main is not None:
            return await self._main.look()
        done = 0
        async with self._turn:
            while True:
                found = await self._room.gate.call("notices_take")
                self._own = int(found["own"])
                due = [row for row in found["due"] if (row[0], row[1], row[2]) not in self._others]
                for row in due:
                    await self._settle(*row)
                if found["notices"]:
                    await self._decide(found["notices"])
                if not due and not found["notices"]:
                    return done
                done += len(due) + len(found["notices"])

    def close(self) -> None:
        if self._working is not None:
            self._working.cancel()
        self._criteria.clear()

    # --- own subscriptions --------------------------------------------------------------------------------------

    async def _settle(self, dossier_id: bytes, row: bytes, version: int, state: str, wanted: str, error: str) -> None:
        """The resource is made to say what is so."""
        self._others.add((dossier_id, row, version))  # whatever becomes of it, this version is not looked at twice
        dossier = (await self._room.dossiers.open([dossier_id], fresh=True)).get(dossier_id)
        line = line_of(dossier, TYPE, row) if dossier is not None else None
        if dossier is None or line is None or line.entry.version != version:
            self._others.discard((dossier_id, row, version))
            return
        with contextlib.suppress(Conflict):  # a newer version comes along by itself
            if line.deleted:
                await self._settled(dossier_id, row, version, OFF)
                return
            note = {"action": Action.READ.value, "kind": TYPE, "object": f"{TYPE}/{text_of(row)}"}
            stored = await self._room.finder.fetch(dossier, line, [note])
            resource = stored.resource or {}
            if subscribed.owner_of(resource) != self._room.actor.person:
                return
            if state == REQUESTED and resource.get("status") != OFF:
                await self._begin(stored, row)
            elif state == REQUESTED:
                await self._settled(dossier_id, row, version, OFF)
            elif subscribed.may_become(state, wanted):
                await self._settled(dossier_id, row, await self._say(stored, wanted, error), wanted)
                self._others.discard((dossier_id, row, version))

    async def _begin(self, stored: Stored, row: bytes) -> None:
        resource = stored.resource or {}
        try:
            wish = subscribed.wish_of(resource, self._room.clock())
            await self._check_host(wish)
            headers = tuple((name, sealed) for name, value in wish.headers if (sealed := subscribed.sealed_value(value)) is not None)
        except CloisterError as refused:
            await self._settled(stored.dossier, row, await self._say(stored, OFF, refused.text), OFF)
            return
        version = stored.version if resource.get("status") == ACTIVE else await self._say(stored, ACTIVE)
        channel = channels.Channel(subscription=stored.id, owner=self._room.actor.person, endpoint=wish.endpoint, headers=headers)
        more = {
            "rtype": type_numbers()[wish.query.type],
            "sealed": channel.sealed(self._delivery, stored.dossier + row),
            "until": iso(wish.end) if wish.end is not None else "",
        }
        await self._settled(stored.dossier, row, version, ACTIVE, **more)

    async def _say(self, stored: Stored, status: str, error: str = "") -> int:
        """The next version, which says so; its number."""
        from cloister.records.changing import write_change
        from cloister.records.placing import Change

        resource = subscribed.saying(stored.resource or {}, status, error)
        change = Change(type=TYPE, id=stored.id, resource=resource, draft=Draft(resource, stored.id), if_match=stored.version, settled=True)
        return (await write_change(self._room, change, None)).stored.version

    async def _settled(self, dossier: bytes, row: bytes, version: int, state: str, **more: Any) -> None:
        note = {"action": "subscribe", "kind": TYPE, "object": f"{TYPE}/{text_of(row)}", "reason": state}
        await self._room.gate.call("subscription_settled", dossier=dossier, id=row, ver=version, state=state, audit=[note], **more)

    # --- what was written -------------------------------------------------------------------------------------

    async def _decide(self, notices: list[list[Any]]) -> None:
        """Each notice is told or dropped; what this session cannot open just now is left to others."""
        names = {number: name for name, number in type_numbers().items()}
        opened = await self._opened({row[0] for row in notices} | {row[1] for row in notices})
        rows, told = [], []
        for dossier, by, subscription, rtype, id, version, owner in notices:
            if dossier not in opened or by not in opened:
                continue
            try:
                query = await self._criterion(opened[by], subscription, owner)
                met = query is not None and await self._met(query, opened[dossier], names.get(rtype, ""), id)
            except CloisterError as refused:
                log("session.notice_left", level="warning", reason=refused.reason or refused.category)
                continue
            rows.append((dossier, by, subscription, rtype, id, version, met))
            if met:
                told.append({"action": "notify", "kind": names[rtype], "object": f"{TYPE}/{text_of(subscription)}"})
        if rows:
            names_of = ("dossier", "subscribed", "subscription", "rtype", "id", "ver", "matched")
            columns: dict[str, Any] = dict(zip(names_of, map(list, zip(*rows, strict=True)), strict=True))
            await self._room.gate.call("notices_done", audit=told, **columns)

    async def _opened(self, ids: set[bytes]) -> dict[bytes, Dossier]:
        """One that is forged or cannot be opened keeps no other from being looked at."""
        wanted = sorted(ids)
        try:
            return await self._room.dossiers.open(wanted, fresh=True)
        except CloisterError:
            found: dict[bytes, Dossier] = {}
            for id in wanted:
                with contextlib.suppress(CloisterError):
                    found |= await self._room.dossiers.open([id], fresh=True)
            return found

    async def _criterion(self, dossier: Dossier, row: bytes, owner: str) -> Query | None:
        """What is asked for; None where the resource has ended, or is not of the program that the database says."""
        line = line_of(dossier, TYPE, row)
        if line is None or line.deleted:
            return None
        key = (dossier.id, row)
        known = self._criteria.get(key)
        if known is None or known[0] != line.entry.version:
            note = {"action": Action.READ.value, "kind": TYPE, "object": f"{TYPE}/{text_of(row)}"}
            resource = (await self._room.finder.fetch(dossier, line, [note])).resource or {}
            asked = None if resource.get("status") == OFF else subscribed.criterion_of(resource, self._room.clock())
            if len(self._criteria) >= CRITERIA_MAX:
                self._criteria.clear()
            known = self._criteria[key] = (line.entry.version, subscribed.owner_of(resource), asked)
        return known[2] if known[1] == owner else None

    async def _met(self, query: Query, dossier: Dossier, type: str, row: bytes) -> bool:
        line = line_of(dossier, type, row) if type == query.type else None
        if line is None or line.deleted or not subscribed.may_match(query, line.entry):
            return False
        if not query.undecided:
            return True
        note = {"action": Action.READ.value, "kind": type, "object": f"{type}/{text_of(row)}", "reason": "subscription"}
        stored = await self._room.finder.fetch(dossier, line, [note])
        return subscribed.is_met(query, line.entry, stored.resource)


def line_of(dossier: Dossier, type: str, row: bytes) -> Line | None:
    """The line of the resource in this row."""
    line = dossier.line(type, text_of(row))
    if line is not None and row_of(line) == row:
        return line
    return next((one for one in dossier.lines(type).values() if row_of(one) == row), None)
