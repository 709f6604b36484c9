"""One tree for many servers: each server's gate seals and numbers its own entries, one gate of the estate keeps the log.

The keeper orders rows, extends the tree and signs its checkpoints; only there are the signing keys. It cannot read what other
gates sent, and takes from each only rows of that server's own sources. An entry counts as written when the keeper's
database says so, exactly as beside the keeper itself. Over base.between.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from cloister.audit import Checkpoint, Entry, NoteKey, Sealed, sealed_entry, verified_checkpoint
from cloister.audit import entry as audit_entry
from cloister.base.clock import Clock
from cloister.base.errors import CloisterError, Denied, Invalid, Unavailable
from cloister.base.telemetry import log
from cloister.machines import Link, between, certificates
from cloister.records.gate.audit_writer import AuditWriter, HourKeys
from cloister.records.gate.connections import Connections

STANDS: Final = "select estate.machine_stands($1, $2)"
STANDS_SECONDS: Final = 2.0  # how long a removed machine may still write
CLOCK_SKEW_MAX: Final = timedelta(minutes=2)
ROWS_MAX: Final = 2_000
WAITING_MAX: Final = 20_000
CALL_SECONDS_MAX: Final = 10.0
DIAL_SECONDS: Final = 0.3  # between tries, while somebody waits
DOMAIN: Final = ".server.cloister.internal"
NOT_STANDING: Final = "machine-unknown"
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """Where the keeper listens, and as which machine it shows itself."""

    address: str
    port: int
    tls: ssl.SSLContext
    fresh: Callable[[], None]  # loads a renewed certificate into `tls`


@dataclass(frozen=True, slots=True, kw_only=True)
class Far:
    """For a server's gate: who it is, and where the keeper is today."""

    machine: str
    keeper: Callable[[], tuple[str, int]]
    tls: Callable[[], ssl.SSLContext]
    log_key: NoteKey  # by which the keeper's checkpoints are believed
    new_data_key: Callable[..., Any]


class Keeper:
    """The keeper's side."""

    def __init__(self, writer: AuditWriter, database: Connections, clock: Clock) -> None:
        self._writer = writer
        self._database = database
        self._clock = clock
        self._looked: dict[Link, float] = {}

    async def serve(self, keeping: Keeping) -> None:
        """Until cancelled."""
        server = await between.listen(keeping.address, keeping.port, keeping.tls, self._answer, part="gate", lost=self._forget)
        try:
            while True:
                await asyncio.sleep(30)
                keeping.fresh()
        finally:
            server.close()

    def _forget(self, link: Link) -> None:
        self._looked.pop(link, None)

    async def _answer(self, link: Link, method: str, arguments: dict[str, Any]) -> Any:
        machine = await self._machine(link)
        match method:
            case "audit_rows":
                rows = [sealed_of(row) for row in arguments["rows"]]
                self._check(machine, rows)
                await self._writer.append_sealed(rows)
                return {}
            case "audit_head":
                return {"note": (await self._writer.head(int(arguments["least"]))).note}
        raise Invalid("The keeper has no such method.", reason="method")

    async def _machine(self, link: Link) -> str:
        now = asyncio.get_running_loop().time()
        if link not in self._looked or now - self._looked[link] > STANDS_SECONDS:
            found = certificates.facts(link.certificate or b"")
            link.peer = next((name.removesuffix(DOMAIN) for name in found.names if name.endswith(DOMAIN)), "")
            if not await self._database.fetchval(STANDS, link.peer, found.serial):
                raise Denied("This machine does not belong to the estate.", hint="Join it with a new token.", reason=NOT_STANDING)
            self._looked[link] = now
        return str(link.peer)

    def _check(self, machine: str, rows: Sequence[Sealed]) -> None:
        now = self._clock()
        for row in rows:
            _, _, instance = row.source.partition("@")
            if instance.rpartition(".")[0] != machine:
                raise Denied("A server writes its own audit entries only.", reason="audit-source")
            if abs(row.at - now) > CLOCK_SKEW_MAX:
                raise Denied(
                    f"The clock of server '{machine}' is wrong, so that no audit entry of it is taken.",
                    hint="Set it by the network: timedatectl set-ntp true",
                    reason="clock",
                )


class FarAuditWriter:
    """A server's side: the same promises as AuditWriter, kept by the keeper."""

    def __init__(self, database: Connections, far: Far, clock: Clock) -> None:
        self._far = far
        self._clock = clock
        self._key = HourKeys(database, clock, far.new_data_key)
        self._instance = f"{far.machine}.{secrets.token_hex(4)}"
        self._numbers: dict[str, int] = {}
        self._waiting: list[tuple[Entry, str, int, asyncio.Future[None] | None]] = []
        self._wake = asyncio.Event()
        self._link: Link | None = None
        self._dialling = asyncio.Lock()
        self._task = asyncio.create_task(self._run())

    def append(self, entries: Sequence[Entry], source: str = "gate") -> asyncio.Future[None]:
        """Await what this returns; the entries are on their way from now on."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not entries:
            future.set_result(None)
        elif len(self._waiting) >= WAITING_MAX or self._task.done():
            future.set_exception(_cannot())
        else:
            name, first = f"{source}@{self._instance}", self._numbers.get(source, 0) + 1
            self._numbers[source] = first + len(entries) - 1
            last = len(entries) - 1
            self._waiting += [(entry, name, first + at, future if at == last else None) for at, entry in enumerate(entries)]
            self._wake.set()
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        return future

    async def head(self, least: int = 0) -> Checkpoint:
        """A signed checkpoint of at least this size and not old, of the keeper; its signature is verified here."""
        told = await self._asked("audit_head", least=least)
        return verified_checkpoint(str(told["note"]), self._far.log_key)

    async def close(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        for _, _, _, future in self._waiting:
            if future is not None and not future.done():
                future.set_exception(Unavailable("The store gate is stopping.", reason="audit"))
        if self._link is not None:
            self._link.close()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                group, self._waiting = self._waiting[:ROWS_MAX], self._waiting[ROWS_MAX:]
                failed: Exception | None = None
                try:
                    key = await self._key.current()
                    rows = [row_of(sealed_entry(entry, source, number, key)) for entry, source, number, _ in group]
                    await self._asked("audit_rows", rows=rows)
                except Exception as fault:  # the edge of the writer's task: it must outlive whatever happens to the line
                    log("audit.not_sent", level="error", kind=type(fault).__name__, entries=len(group))
                    failed = fault if isinstance(fault, CloisterError) else _cannot()
                for _, _, _, future in group:
                    if future is not None and not future.done():
                        future.set_exception(failed) if failed is not None else future.set_result(None)

    async def _asked(self, method: str, **arguments: Any) -> Any:
        """A line that was made with a certificate which has been replaced since is made anew: nothing was written then."""
        link = await self._linked()
        try:
            return await link.call(method, timeout_seconds=CALL_SECONDS_MAX, **arguments)
        except Denied as refused:
            if refused.reason != NOT_STANDING:
                raise
            link.close()
            return await (await self._linked(but=link)).call(method, timeout_seconds=CALL_SECONDS_MAX, **arguments)

    async def _linked(self, but: Link | None = None) -> Link:
        """The line to the keeper, dialled when there is none: tried for as long as the caller's patience is likely to last."""
        async with self._dialling:
            for _ in range(8):
                if self._link is not None and self._link is not but and not self._link.closed.is_set():
                    return self._link
                try:
                    address, port = self._far.keeper()
                    self._link = await between.dial(address, port, self._far.tls(), part="audit log")
                    found = certificates.facts(self._link.certificate or b"")
                    if not any(name.endswith(".controller.cloister.internal") for name in found.names):
                        self._link.close()
                        raise Denied("This is no controller.", reason="machine-other")
                except (OSError, TimeoutError) as lost:
                    log("audit.no_keeper", level="warning", kind=type(lost).__name__)
                    await asyncio.sleep(DIAL_SECONDS)
        raise _cannot()


def _cannot() -> Unavailable:
    hint = "Wait a moment and try again; nothing was read or written without its entry."
    return Unavailable("The audit log cannot be reached, and nothing is done without it.", hint=hint, reason="audit")


def row_of(row: Sealed) -> list[Any]:
    moment = (row.at - audit_entry.EPOCH) // _MICROSECOND
    return [moment, row.source, row.number, row.category, row.named, row.key, row.actor, row.object, row.patient, row.body]


def sealed_of(row: Any) -> Sealed:
    """Invalid for anything of another form."""
    try:
        moment, source, number, category, named, key, actor, object, patient, body = row
        tokens = int(actor), int(object), int(patient)
        at = audit_entry.EPOCH + int(moment) * _MICROSECOND
        found = Sealed(at, _short(source), int(number), _short(category), bytes(named), int(key), *tokens, bytes(body))
        if len(found.body) > 65_536 or len(found.named) > 64 or found.number < 1:
            raise ValueError
    except (ValueError, TypeError, OverflowError):
        raise Invalid("This is no sealed audit entry.", reason="audit-row") from None
    return found


def _short(text: object) -> str:
    if not isinstance(text, str) or not 0 < len(text) <= 100:
        raise ValueError
    return text
