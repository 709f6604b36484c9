"""The process: answers sessions over a UNIX socket, keeps the few connections to PostgreSQL, writes the audit log.

Refuses processes that nobody admitted, statements that are not on the list, and arguments of another form.
Survives a stopped database: it says so to whoever asks, and works again when PostgreSQL does.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import asyncpg
import msgspec
from msgspec import Meta, Struct

from cloister.audit import TRUST_OBJECT, Entry
from cloister.base import wire
from cloister.base.clock import Clock, system_clock
from cloister.base.database import LOST
from cloister.base.errors import Denied, Invalid, Unavailable
from cloister.base.telemetry import log
from cloister.records.gate import (
    auditing,
    drafts,
    finding,
    ingest,
    looking,
    need,
    notices,
    officers,
    offices,
    parked,
    reading,
    recovery,
    rekeying,
    requests,
    rotas,
    rotation,
    shadow,
    sharing,
    trust,
    writing,
)
from cloister.records.gate.asked import Asked
from cloister.records.gate.audit_keeper import Far, FarAuditWriter, Keeper, Keeping
from cloister.records.gate.audit_writer import AuditKeys, AuditWriter
from cloister.records.gate.changes import Changes
from cloister.records.gate.connections import Connections
from cloister.records.gate.heads import ZONES_KEPT_SECONDS, Heads
from cloister.records.gate.patients import Patients, patient_of
from cloister.records.gate.proofs import Proofs
from cloister.records.gate.replicas import FAILED, Replicas, through
from cloister.records.gate.sessions import Admitted, Sessions
from cloister.records.gate.statement import Call, Note, Notes, Statement
from cloister.records.gate.together import Together

CONNECTIONS_MAX: Final = 8
RENEWAL: Final = "trust_renewal"
STATEMENTS: Final[dict[str, Statement]] = {
    statement.name: statement
    for statement in (
        *reading.STATEMENTS,
        *finding.STATEMENTS,
        *writing.STATEMENTS,
        *trust.STATEMENTS,
        *looking.STATEMENTS,
        *requests.STATEMENTS,
        *auditing.STATEMENTS,
        *need.STATEMENTS,
        *ingest.STATEMENTS,
        *parked.STATEMENTS,
        *notices.STATEMENTS,
        *drafts.STATEMENTS,
        *shadow.STATEMENTS,
        *sharing.STATEMENTS,
        *offices.STATEMENTS,
        *officers.STATEMENTS,
        *rotation.STATEMENTS,
        *rotas.STATEMENTS,
        *recovery.STATEMENTS,
        *rekeying.STATEMENTS,
    )
}
# With what is open in need in this session: its entries carry the request's id.
ZONES_OF: Final = """
    (select z, null::text from trust.zones_of($1, $2) z order by z limit 5000)
    union all
    select null::text, o.request from trust.opening o where o.session = $2 and o.person = $1 and o.ended is null and now() < o.until"""

ELSEWHERE: Final = "select estate.elsewhere($1, $2)"
SHORT_OF_SPACE: Final = (asyncpg.DiskFullError, asyncpg.OutOfMemoryError, asyncpg.TooManyConnectionsError)

_Text = Annotated[str, Meta(min_length=1, max_length=200)]


class Admit(Struct, frozen=True, forbid_unknown_fields=True):
    token: str
    pid: int
    uid: int
    session: _Text
    person: _Text
    role: _Text
    zones: list[str] | None = None


class Dismiss(Struct, frozen=True, forbid_unknown_fields=True):
    token: str
    session: _Text


class TakeChanges(Struct, frozen=True, forbid_unknown_fields=True):
    """`first`: the agent has not asked before, and may have missed something."""

    token: str
    first: bool = False


class ServiceNote(Struct, frozen=True, forbid_unknown_fields=True):
    """An audit note of a service, which says for whom it speaks."""

    action: _Text
    kind: _Text
    actor: Annotated[str, Meta(max_length=200)] = ""
    session: Annotated[str, Meta(max_length=200)] = ""
    object: Annotated[str, Meta(max_length=200)] = ""
    outcome: Annotated[str, Meta(max_length=200)] = "success"
    reason: Annotated[str, Meta(max_length=200)] = ""
    source: Annotated[str, Meta(max_length=200)] = ""


class ServiceAudit(Struct, frozen=True, forbid_unknown_fields=True):
    token: str
    entries: Annotated[list[ServiceNote], Meta(max_length=2000)]


class ServicePut(Struct, frozen=True, forbid_unknown_fields=True):
    """What a root signs at the machine's own command line: mandates, and certificates of certificate officers."""

    token: str
    objects: Annotated[list[offices.Mandate | offices.Certificate], Meta(min_length=1, max_length=100)]


class Elsewhere(Struct, frozen=True, forbid_unknown_fields=True):
    """An agent that hears no controller asks which of its sessions were placed elsewhere."""

    token: str
    sessions: Annotated[list[_Text], Meta(max_length=20_000)]


class SessionAudit(Struct, frozen=True, forbid_unknown_fields=True):
    entries: Notes


_Form = TypeVar("_Form", bound=Struct)


def _own(notes: Sequence[Note]) -> Sequence[Note]:
    """What a session says of itself; that an object was put on record is only ever said by the gate."""
    if any(note.action == TRUST_OBJECT for note in notes):
        raise Denied("A session may not write this entry.", reason="audit-entry")
    return notes


def _read(arguments: dict[str, Any], form: type[_Form], method: str) -> _Form:
    try:
        return msgspec.convert(arguments, form)
    except msgspec.ValidationError as wrong:
        # The text names the field and its type, never a value.
        raise Invalid(f"'{method[:40]}' was called with arguments of another form.", hint=str(wrong)[:160], reason="arguments") from wrong


class Gate:
    """The gate's state: who is admitted, which zones they have, the pool, the audit writer."""

    def __init__(
        self,
        database: Connections,
        writer: AuditWriter | FarAuditWriter,
        tokens: Mapping[str, str],
        clock: Clock,
        replicas: Replicas | None = None,
        server: str = "",
    ) -> None:
        """`server`: which machine this is, where there are several: a session that was placed elsewhere is then refused."""
        self._server = server
        self._database = database
        self._clock = clock
        self._writer = writer
        self._tokens = {name: token.encode() for name, token in tokens.items()}
        self._sessions = Sessions()
        self._zones: dict[str, tuple[float, tuple[str, ...]]] = {}
        self._needs: dict[str, str] = {}
        self._turns: dict[str, int] = {}
        self._patients = Patients()
        self._proofs = Proofs(database, writer)
        self.replicas = replicas or Replicas(database, 0)
        self._rows = Together(database, reading.rows_together)
        self._opened = Together(database, reading.opened_together)
        self._charts = Together(database, reading.charts_together)
        self._writes = Together(database, writing.written_together)
        self._heads = Heads()
        self._asked = Asked(database)
        self.changes = Changes(database, self._sessions, self._forget)

    async def handle(self, peer: wire.Peer, method: str, arguments: dict[str, Any]) -> Any:
        try:
            return await self._handle(peer, method, arguments)
        except SHORT_OF_SPACE as full:
            log("gate.database_short", level="error", kind=type(full).__name__)
            raise Unavailable(
                "The database's disk or memory is full; nothing of this was stored.",
                hint="Free space where the state folder lies, then repeat.",
                reason="disk-full",
            ) from full
        except (*LOST, TimeoutError) as lost:
            raise Unavailable(
                "The database does not answer.", hint="Wait a moment and try again; nothing was lost.", reason="no-database"
            ) from lost

    async def _handle(self, peer: wire.Peer, method: str, arguments: dict[str, Any]) -> Any:
        service = _SERVICE.get(method)
        if service is not None and "token" in arguments:
            return await service(self, arguments)
        admitted = self._sessions.of(peer)
        if method == "audit_append":
            await self._note(admitted, _own(_read(arguments, SessionAudit, method).entries))
            return None
        statement = STATEMENTS.get(method)
        if statement is None:
            raise Denied("The store gate knows no such statement.", reason="unknown-statement")
        form = _read(arguments, statement.arguments, method)
        if method == RENEWAL:  # something begins or has ended: what was remembered of this session's zones may be of before
            self._forget(admitted)
        call = Call(
            person=admitted.person,
            session=admitted.session,
            role=admitted.role,
            zones=await self._zones_of(admitted),
            database=self._database,
            proofs=self._proofs,
            rows=self._rows,
            opened=self._opened,
            charts=self._charts,
            writes=self._writes,
            asked=self._asked,
            heads=self._heads,
        )
        if statement.notes is not None:
            await self._note(admitted, statement.notes(form))
        if not form.audit:
            return await self._run(statement, call, form)
        notes, patient = _own(form.audit), self._patients.before(form)
        if statement.noted_first and patient is not None:
            # Both at once, and the answer waits for both: no row leaves before its audit entry is on the disk.
            noted = self._note(admitted, notes, patient)
            answer = await self._run(statement, call, form)
            await noted
            return answer
        answer = await self._run(statement, call, form)
        await self._note(admitted, notes, patient or self._patients.after(form, answer))
        return answer

    async def _run(self, statement: Statement, call: Call, form: Any) -> Any:
        """By a standby that shows all that this session has seen, where there is one; else, and when it fails, by the primary."""
        replica = self.replicas.chosen(call.session, statement.name)
        if replica is not None:
            try:
                answer = await statement.run(through(call, replica), form)
                self.replicas.saw(call.session, replica)
                return answer
            except FAILED as lost:
                self.replicas.failed(replica, lost)
        try:
            return await statement.run(call, form)
        finally:  # a refusal shows something, too
            if statement.changes_keys:
                self._heads.forget()
            self.replicas.saw(call.session, None)

    async def _zones_of(self, admitted: Admitted) -> tuple[str, ...]:
        now = time.monotonic()
        kept = self._zones.get(admitted.session)
        if kept is None or now - kept[0] > ZONES_KEPT_SECONDS:
            self._sessions.check_alive(admitted)
            await self._check_here(admitted)
            rows = await self._database.fetch(ZONES_OF, admitted.person, admitted.session)
            kept = (now, tuple(zone for zone, _ in rows if zone is not None))
            self._needs[admitted.session] = "".join(f" need {request}" for _, request in rows if request is not None)
            self._zones[admitted.session] = kept
        if admitted.ceiling is None:
            return kept[1]
        return tuple(zone for zone in kept[1] if zone in admitted.ceiling)

    async def _check_here(self, admitted: Admitted) -> None:
        """Fencing: a server that was cut off may hold a session that its person has elsewhere by now. Asked every two seconds."""
        if self._server and await self._database.fetchrow(ELSEWHERE, self._server, [admitted.session]) is not None:
            self.changes.end(admitted)
            raise Denied("This session was continued on another server.", hint="Sign in again.", reason="session-elsewhere")

    def _forget(self, admitted: Admitted) -> tuple[str, ...]:
        """Ask again for this session's zones at its next call; says which they were."""
        kept = self._zones.pop(admitted.session, None)
        return kept[1] if kept is not None else ()

    def _note(self, admitted: Admitted, notes: Sequence[Note], patient: str = "") -> asyncio.Future[None]:
        """`patient`: whose dossier was asked for, where the note's own object does not say."""
        needed = self._needs.get(admitted.session, "")
        now, first = self._clock(), self._turns.get(admitted.session, 0) + 1
        self._turns[admitted.session] = first + len(notes) - 1
        entries = [
            Entry(
                now, admitted.person, admitted.session, n.action, n.kind, n.object, n.outcome, f"{n.reason}{needed}".strip(), "session",
                patient_of(n.object) or patient, str(turn),
            )
            for turn, n in enumerate(notes, start=first)
        ]  # fmt: skip
        return self._writer.append(entries, "session")

    def _authorised(self, token: str, *services: str) -> str:
        """The service whose token this is; Denied for any other."""
        for name in services:
            expected = self._tokens.get(name)
            if expected and hmac.compare_digest(expected, token.encode()):
                return name
        raise Denied("This service is not known to the store gate.", reason="unknown-service")

    async def _session_admit(self, arguments: dict[str, Any]) -> None:
        form = _read(arguments, Admit, "session_admit")
        self._authorised(form.token, "agent")
        self._sessions.admit(form.pid, form.uid, session=form.session, person=form.person, role=form.role, zones=form.zones)

    async def _session_dismiss(self, arguments: dict[str, Any]) -> None:
        form = _read(arguments, Dismiss, "session_dismiss")
        self._authorised(form.token, "agent")
        self._sessions.dismiss(form.session)
        self._zones.pop(form.session, None)
        self._needs.pop(form.session, None)
        with contextlib.suppress(*LOST, TimeoutError, asyncpg.PostgresError):  # it ends by itself on time
            await self._database.execute(need.END_OF_SESSION, form.session)
        self._turns.pop(form.session, None)
        self.replicas.forget(form.session)

    async def _session_changes(self, arguments: dict[str, Any]) -> Any:
        form = _read(arguments, TakeChanges, "session_changes")
        self._authorised(form.token, "agent")
        if form.first:
            await self.changes.look_at_all()
        return await self.changes.taken()

    async def _session_elsewhere(self, arguments: dict[str, Any]) -> list[str]:
        form = _read(arguments, Elsewhere, "session_elsewhere")
        self._authorised(form.token, "agent")
        return [row[0] for row in await self._database.fetch(ELSEWHERE, self._server, form.sessions)] if self._server else []

    async def _service_audit(self, arguments: dict[str, Any]) -> None:
        form = _read(arguments, ServiceAudit, "audit_append")
        source = self._authorised(form.token, "agent", "controller")
        now = self._clock()
        await self._writer.append(
            [
                Entry(now, n.actor or source, n.session, n.action, n.kind, n.object, n.outcome, n.reason, n.source or source)
                for n in form.entries
            ],
            source,
        )

    async def _service_put(self, arguments: dict[str, Any]) -> None:
        form = _read(arguments, ServicePut, "trust_put")
        source = self._authorised(form.token, "controller")
        now = self._clock()
        put = offices.TrustPut(objects=list(form.objects))
        notes = [Entry(now, "root", "", n.action, n.kind, n.object, n.outcome, n.reason, source) for n in offices.notes_of(put)]
        await self._writer.append(notes, source)
        await offices.put(self._database, put.objects)


_SERVICE: Final = {
    "session_admit": Gate._session_admit,
    "session_dismiss": Gate._session_dismiss,
    "session_changes": Gate._session_changes,
    "session_elsewhere": Gate._session_elsewhere,
    "audit_append": Gate._service_audit,
    "trust_put": Gate._service_put,
}


async def run_gate(
    pool_arguments: Mapping[str, Any],
    where: Path | socket.socket,
    tokens: Mapping[str, str],
    *,
    audit_keys: AuditKeys | Far,
    replicas: Mapping[str, Mapping[str, Any]] | None = None,
    staleness_seconds: float = 1.0,
    clock: Clock = system_clock,
    ready: asyncio.Event | None = None,
    mode: int = 0o666,
    server: str = "",
    keeping: Keeping | None = None,
) -> None:
    """Serve until cancelled, at a path or on a bound listener. `tokens` are those of the services 'agent' and 'controller'.

    `audit_keys`: this gate keeps the log, or (Far) writes to the one that does. `server`, `keeping`: where there are several machines.
    The socket is open to all accounts, because sessions have accounts of their own; who calls is asked of the kernel.
    """
    # No connection is made before the first call, so that the gate starts while PostgreSQL is still starting.
    database = Connections(pool_arguments, largest=CONNECTIONS_MAX)
    writer: AuditWriter | FarAuditWriter
    keeper: asyncio.Task[None] | None = None
    if isinstance(audit_keys, Far):
        writer = FarAuditWriter(database, audit_keys, clock)
    else:
        writer = AuditWriter(database, clock=clock, keys=audit_keys)
        if keeping is not None:
            keeper = asyncio.create_task(Keeper(writer, database, clock).serve(keeping))
    gate = Gate(database, writer, tokens, clock, Replicas.of(database, replicas or {}, staleness_seconds), server)
    serving = await wire.serve(where, gate.handle, mode=mode)
    listening = asyncio.create_task(gate.changes.listen(pool_arguments))
    watching = asyncio.create_task(gate.replicas.watch())
    log("gate.ready", connections=CONNECTIONS_MAX)
    if ready is not None:
        ready.set()
    try:
        await serving.serve_forever()
    finally:
        listening.cancel()
        watching.cancel()
        if keeper is not None:
            keeper.cancel()
        serving.close()
        await writer.close()
        gate.replicas.close()
        database.close()
