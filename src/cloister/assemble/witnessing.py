"""The process that shows each checkpoint to the witnesses, with the proof that the log only grew, and looks at the log itself.

It reads the database as the store gate does and trusts none of it: the root must come out of the stored tree, each entry read
must give its leaf. What it finds goes into a file that `cloister up` and `cloister audit witnesses` show.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final

import asyncpg
import httpx

from cloister.assemble import accounts
from cloister.assemble.postgres import GATE, where
from cloister.assemble.roots import audit_key, pinned_roots
from cloister.assemble.witnesses import Place, local_signer, local_state, places
from cloister.audit import Checkpoint, Log, NoteKey, note, store, tree, verified_checkpoint
from cloister.base.clock import iso, system_clock
from cloister.base.database import LOST
from cloister.base.errors import CloisterError, Corrupt
from cloister.base.preload import forbid_late_imports
from cloister.base.process import die_with_parent, drop_to, is_root, system_account
from cloister.base.settings import Settings
from cloister.base.telemetry import log
from cloister.witness import Folder, FolderWitness, Refused, Submission, Witness, serve
from cloister.zones import audit_keys

EVERY_SECONDS: Final = 1.0
HTTP_SECONDS_MAX: Final = 5.0
SLICE_ROWS: Final = 2048  # of older entries looked at again each second
PASS_SECONDS_MIN: Final = 10.0  # between the beginnings of two looks at the whole log: a short log is not read every second for nothing
STATUS_FILE: Final = "witnesses.json"
SLICE: Final = f"select {store.COLUMNS} from audit.event where seq >= $1 and seq < $2 order by seq limit {SLICE_ROWS}"


@dataclass(slots=True)
class Standing:
    """How it stands with one witness."""

    name: str
    size: int = 0
    at: str = ""
    refused: str = ""  # by name; empty when it signed
    lost: str = ""  # why it could not be asked


@dataclass(slots=True)
class Report:
    """What the process knows; written whole after each round."""

    size: int = 0
    fault: str = ""
    gaps: list[str] = field(default_factory=list)
    witnesses: list[Standing] = field(default_factory=list)


def run_witness(settings: Settings) -> None:
    """The local witness's process: a socket, its own folder, nothing else."""
    account = system_account(accounts.WITNESS)
    witness = Witness(log_key(settings), local_signer(settings), Folder(local_state(settings), owner=(account.uid, account.gid)))
    server = serve(witness, settings.socket("witness"))
    if is_root():  # only the process that shows checkpoints may knock
        os.chown(settings.socket("witness"), account.uid, system_account(accounts.GATE).gid)
    drop_to(account)
    forbid_late_imports()
    die_with_parent(signal.SIGTERM)
    server.serve_forever()


def log_key(settings: Settings) -> NoteKey:
    return audit_keys.log_key(pinned_roots(settings).trust_id, audit_key(settings))


def run_witnessing(settings: Settings) -> None:
    account, database = system_account(accounts.GATE), system_account(accounts.DATABASE)
    arguments, key = where(settings, GATE).arguments(), log_key(settings)
    owner = (account.uid, account.gid)
    report = Folder(settings.state / "audit-status", owner=owner)
    asked = [Asked(place, key, Folder(place.folder, owner=owner) if place.folder else None) for place in places(settings)]
    drop_to(account, groups=(database.gid,))
    die_with_parent(signal.SIGTERM)
    asyncio.run(Rounds(arguments, key, asked, report).run())


class Asked:
    """One witness, asked once a round."""

    def __init__(self, place: Place, log_key: NoteKey, folder: Folder | None) -> None:
        self.standing = Standing(place.name)
        self._place = place
        self._folder = FolderWitness(log_key, folder) if folder is not None else None
        self._size: int | None = self._folder.seen.size if self._folder is not None and self._folder.seen is not None else None
        if self._folder is not None and self._size is None:
            self._size = 0
        self._client = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(place.socket)) if place.socket else None,
            base_url=place.url or "http://witness",
            timeout=HTTP_SECONDS_MAX,
        )

    async def show(self, fetch: store.Fetch, head: Checkpoint) -> str | None:
        """The cosignature's line, when there is a new one; what went wrong stands in `standing`."""
        if self.standing.size == head.size and not self.standing.refused and not self.standing.lost and self._size == head.size:
            return None
        try:
            for _ in range(2):  # again when it told us what it saw last
                line = await self._submit(fetch, head)
                if line is not None or self.standing.refused != "old-size":
                    break
        except (httpx.HTTPError, OSError) as lost:
            self.standing.lost = type(lost).__name__
            return None
        if not self.standing.refused:
            self.standing.size, self.standing.at, self._size = head.size, iso(head.at), head.size
        self.standing.lost = ""
        return line or None

    async def _submit(self, fetch: store.Fetch, head: Checkpoint) -> str | None:
        old = self._size or 0
        proof = await store.consistency_proof(fetch, old, head.size) if 0 < old <= head.size else []
        given = Submission(old, tuple(proof), head.note)
        self.standing.refused = ""
        if self._folder is not None:
            try:
                self._folder.add(given)
            except Refused as refused:
                self._refused(refused.refusal.value)
            return ""
        answer = await self._client.post("/add-checkpoint", content=given.text().encode())
        if answer.status_code == httpx.codes.OK and self._place.key is not None:
            line = answer.text.splitlines(keepends=True)[0]
            note.parsed_note(head.note + line).witnessed(self._place.key)
            return line
        if answer.headers.get("content-type") == "text/x.tlog.size" and answer.text.strip().isdigit():
            self._size = int(answer.text)
        self._refused(answer.headers.get("x-refusal", str(answer.status_code)))
        return None

    def _refused(self, reason: str) -> None:
        if self.standing.refused != reason and reason != "old-size":
            log("witness.refused", level="error", witness=self._place.name, reason=reason)
        self.standing.refused = reason


class Rounds:
    def __init__(self, arguments: dict[str, Any], key: NoteKey, asked: list[Asked], report: Folder) -> None:
        self._arguments = arguments
        self._key = key
        self._asked = asked
        self._file = report
        self._report = Report(witnesses=[one.standing for one in asked])
        self._looked = 0  # entries before this were looked at in this pass
        self._whole = 0  # the size at which this pass had seen everything; 0 while it has not
        self._pass_from = 0.0  # monotonic
        self._counted = -1
        self._numbers: dict[str, int] = {}

    async def run(self) -> None:
        connection: asyncpg.Connection[Any] | None = None
        while True:
            try:
                if connection is None or connection.is_closed():
                    connection = await asyncpg.connect(command_timeout=30, **self._arguments)
                await self.round(connection.fetch)
            except (*LOST, TimeoutError, asyncpg.PostgresError) as lost:
                log("witnessing.no_database", level="warning", kind=type(lost).__name__)
                connection = None
            await asyncio.sleep(EVERY_SECONDS)

    async def round(self, fetch: store.Fetch) -> None:
        """Look, then vouch: a log that contradicts itself is shown to nobody as if it were whole."""
        try:
            head = await self._head(fetch)
            if head is not None:
                await self._look(fetch, head)
                await self._count_sources(fetch)
                self._report.size, self._report.fault = head.size, ""
                for one in self._asked:
                    line = await one.show(fetch, head)
                    if line:
                        await fetch(store.APPEND_COSIGNATURE, one.standing.name, head.size, head.at, line)
        except CloisterError as broken:
            if self._report.fault != broken.text:
                log("witnessing.broken", level="error", reason=broken.reason)
            self._report.fault = broken.text
        self._file.replace(STATUS_FILE, json.dumps({"at": iso(system_clock()), **asdict(self._report)}, ensure_ascii=False))

    async def _head(self, fetch: store.Fetch) -> Checkpoint | None:
        rows = await fetch(store.LAST_CHECKPOINT)
        if not rows:
            return None
        head = verified_checkpoint(rows[0]["note"], self._key)
        if (await store.frontier(fetch, head.size)).root() != head.root:
            raise Corrupt(f"The audit log's stored tree does not give the signed root of {head.size} entries.", reason="rewritten")
        return head

    async def _look(self, fetch: store.Fetch, head: Checkpoint) -> None:
        """The next slice of the log: each entry gives its leaf, each full group of 256 its stored node."""
        if head.size < self._looked or (self._whole and time.monotonic() >= self._pass_from + PASS_SECONDS_MIN):
            self._looked = self._whole = 0
        if self._whole == head.size:
            return
        if self._looked == 0:
            self._pass_from = time.monotonic()
        first, self._whole = self._looked, 0  # a slice that contradicts the tree is read again until it does not
        rows = [store.row_of(row) for row in await fetch(SLICE, first, min(head.size, first + SLICE_ROWS))]
        if len(rows) != min(head.size, first + SLICE_ROWS) - first:
            raise Corrupt(f"Entries of the audit log are missing after {first}.", reason="missing-entry")
        frontier = tree.Frontier()
        nodes: list[tree.Node] = []
        for expected, row in enumerate(rows, start=first):
            Log.check_row(row, expected)
            frontier.append(row.leaf, nodes)
        stored = [bytes(row[0]) for row in await fetch(store.NODES, 1, first // tree.TILE_NODES)]
        for level, place, hashed in nodes:
            if level == 1 and stored[place : place + 1] != [hashed]:
                raise Corrupt(
                    f"A node of the audit log's tree was changed over entry {first + place * tree.TILE_NODES}.", reason="changed-node"
                )
        self._looked = first + len(rows) // tree.TILE_NODES * tree.TILE_NODES  # what does not fill a tile is read again with what follows
        self._whole = head.size if first + len(rows) == head.size else 0

    async def _count_sources(self, fetch: store.Fetch) -> None:
        """Each source numbers its entries without gaps; what is new since the last round."""
        for row in await fetch(store.COUNTED, self._counted):
            expected = self._numbers.get(row["source"], 0) + 1
            if row["first"] != expected or row["last"] - row["first"] + 1 != row["count"]:
                self._report.gaps.append(f"{row['source']}: entries between {expected} and {row['last']} missing")
                log("audit.gap", level="error", source=row["source"], expected=expected, last=row["last"])
            self._numbers[row["source"]] = row["last"]
            self._counted = max(self._counted, row["seq"])


def read_report(settings: Settings) -> dict[str, Any] | None:
    """What the process wrote last; None before its first round."""
    try:
        body = json.loads((settings.state / "audit-status" / STATUS_FILE).read_text())
    except (OSError, ValueError):
        return None
    return dict(body) if isinstance(body, dict) else None


def witness_line(report: dict[str, Any] | None, now: datetime) -> str:
    """One line for the live status: empty when all is well."""
    if report is None:
        return ""
    parts = [f"the audit log is broken: {report['fault']}"] if report["fault"] else []
    parts += [f"gap: {one}" for one in report["gaps"][-3:]]
    for one in report["witnesses"]:
        if one["refused"]:
            parts.append(f"witness {one['name']} refuses: {one['refused']}")
        elif one["lost"] or one["size"] < report["size"]:
            parts.append(
                f"witness {one['name']} lags at {one['size']:,} of {report['size']:,}" + (f" ({one['lost']})" if one["lost"] else "")
            )
    if (now - datetime.fromisoformat(report["at"])).total_seconds() > 30:
        parts.append("nobody shows checkpoints to the witnesses")
    return "; ".join(parts)
