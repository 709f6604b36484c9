"""`cloister audit tail` and `cloister audit verify`: that something was done, and whether the log is whole.

Who did what to whose record is sealed for the privacy office, and shown in a privacy officer's session only.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import segno
import typer
from rich.console import Console

from cloister.assemble import sign_restore, verify_checkpoint, witness_report
from cloister.audit import Checkpoint, Walk, store
from cloister.base.clock import iso
from cloister.base.errors import EXIT_CODE, Corrupt, Invalid, Unavailable
from cloister.base.settings import Settings, read_settings
from cloister.cli.database import owner
from cloister.cli.own_session import signed_in

app = typer.Typer(help="The append-only log of who did what.", no_args_is_help=True, rich_markup_mode=None)

POLL_SECONDS: Final = 0.5
SIGNATURE_LINE_MAX: Final = 300
SEALED: Final = "who, what and whose record are sealed for the privacy office"
_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
NODES: Final = "select level, place, hash from audit.node where level = $1 and place >= $2 order by place limit 10000"


def line(row: Any) -> str:
    """What operations see of one entry; the hash of a signed object of the trust stands in clear."""
    named = f"  {bytes(row['named']).hex()}" if row["named"] is not None else ""
    return f"{row['seq']:>8}  {iso(row['at'])}  {row['category']:<8} {row['source']} no. {row['number']}{named}"


@app.command()
def tail(
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as entries come in.")] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, max=10_000)] = 20,
) -> None:
    """The last entries, as far as they are not sealed."""
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_tail(read_settings(), lines, follow))


async def _tail(settings: Settings, lines: int, follow: bool) -> None:
    async with owner(settings) as connection:
        last = -1
        wanted = lines
        Console(stderr=True).print(SEALED, style="dim")
        while True:
            rows = await connection.fetch(store.TAIL, last, wanted)
            for row in reversed(rows):
                print(line(row), flush=True)
            last = rows[0]["seq"] if rows else last
            if not follow:
                return
            wanted = 10_000
            await asyncio.sleep(POLL_SECONDS)


@app.command()
def verify() -> None:
    """Walk the whole log: every entry, the tree over them, every signed checkpoint, every source's numbering."""
    asyncio.run(_verify(read_settings()))


@app.command()
def witnesses() -> None:
    """How it stands with each witness, and what the log's own watch has found."""
    found = witness_report(read_settings())
    if found is None:
        raise Unavailable("Nobody has shown a checkpoint to a witness yet.", hint="Start the trust with `cloister up`.")
    print(f"{found['size']:,} entries at {found['at']}" + (f"; BROKEN: {found['fault']}" if found["fault"] else ""))
    for one in found["witnesses"]:
        standing = f"refuses: {one['refused']}" if one["refused"] else f"lost: {one['lost']}" if one["lost"] else "signs"
        print(f"{one['name']:<40} {one['size']:>12,}  {standing}")
    for one in found["gaps"]:
        print(f"gap: {one}")
    if found["fault"] or any(one["refused"] for one in found["witnesses"]):
        raise typer.Exit(EXIT_CODE["corrupt"])


@app.command("accept-restore")
def accept_restore(
    officer: Annotated[str, typer.Option(help="Sign-in name of a certificate officer or an access officer.")],
    reason: Annotated[str, typer.Option(help="Why the database was put back.")],
) -> None:
    """Sign that a database which is older than its witnesses was restored on purpose. Two officers must, one of each office."""
    if not reason.strip():
        raise Invalid("A restored database is accepted for a reason.", hint="Say which backup it is, and who decided.")
    passphrase = typer.prompt(f"Passphrase of {officer}", hide_input=True, err=True)
    print(asyncio.run(sign_restore(read_settings(), officer, reason.strip(), passphrase)))


@app.command()
def paper(
    picture: Annotated[Path | None, typer.Option(help="Also as a QR code: a name that ends in .svg or .png.")] = None,
) -> None:
    """The newest checkpoint to print and to put into a safe: `cloister witness check` looks at it one day."""
    checkpoint = asyncio.run(_newest(read_settings()))
    print(checkpoint, end="")
    if picture is not None:
        if picture.suffix not in (".svg", ".png"):
            raise Invalid("A QR code is written as .svg or .png.", hint="For example: --picture checkpoint.svg")
        segno.make_qr(short(checkpoint)).save(str(picture), scale=6, border=4)


def short(checkpoint: str) -> str:
    """With the Ed25519 signature alone: the one of ML-DSA-65 is longer than a picture holds."""
    text, _, lines = checkpoint.rpartition("\n\n")
    return text + "\n\n" + "".join(line + "\n" for line in lines.splitlines() if len(line) < SIGNATURE_LINE_MAX)


async def _newest(settings: Settings) -> str:
    async with owner(settings) as connection:
        row = await connection.fetchrow(store.LAST_CHECKPOINT)
        if row is None:
            raise Unavailable("There is no checkpoint yet.", hint="Start the trust with `cloister up`.")
        return verify_checkpoint(settings, row["note"]).note


@app.command()
def report(
    patient: Annotated[str, typer.Argument(help="The id of the patient's record.")],
    officer: Annotated[str, typer.Option(help="Sign-in name of a privacy officer.")],
    out: Annotated[Path, typer.Option(help="Where to write it: a name that ends in .pdf, or in .json for FHIR AuditEvents.")],
    language: Annotated[str, typer.Option(help="Of the PDF: en or fr.")] = "fr",
) -> None:
    """A patient's access report, from a privacy officer's own session."""
    session = signed_in(read_settings(), officer)
    try:
        form = "fhir" if out.suffix == ".json" else "pdf"
        body = session.document("/offices/privacy/report", {"patient": patient, "as": form}, language)
    finally:
        session.close()
    out.write_bytes(body)
    print(f"{out}: {len(body):,} bytes")


async def checkpoints_of(connection: Any, settings: Settings) -> list[Checkpoint]:
    """Every checkpoint of the database, verified against the pinned key."""
    found: list[Checkpoint] = []
    while page := await connection.fetch(store.CHECKPOINTS, found[-1].size if found else -1, found[-1].at if found else _EARLIEST):
        found += [verify_checkpoint(settings, row["note"]) for row in page]
    return found


async def _verify(settings: Settings) -> None:
    async with owner(settings) as connection:
        checkpoints = await checkpoints_of(connection, settings)
        walk, last = Walk(checkpoints), -1
        nodes: dict[tuple[int, int], bytes] = {}
        with Console(stderr=True).status("walking the audit log") as status:
            while page := await connection.fetch(store.EVENTS_AFTER, last):
                for row in page:
                    nodes.update(((level, place), hashed) for level, place, hashed in walk.row(store.row_of(row)))
                last = page[-1]["seq"]
                await _check_nodes(connection, nodes)
                status.update(f"walking the audit log: {walk.size:,}")
            root = walk.done()
    for one in walk.gaps:
        print(f"gap: {one}")
    print(f"{walk.size:,} entries and {len(checkpoints):,} signed checkpoints are whole; root {root.hex()}")
    if walk.gaps:  # no entry was changed or lost: these could not be written when they were made, and their calls were refused
        print("hint: Entries that were numbered were never written; see the log of part 'gate' at that time.", file=sys.stderr)


async def _check_nodes(connection: Any, nodes: dict[tuple[int, int], bytes]) -> None:
    """The stored nodes of the tree are those that the entries give; `nodes` is emptied."""
    for level in {level for level, _ in nodes}:
        first = min(place for one, place in nodes if one == level)
        for row in await connection.fetch(NODES, level, first):
            expected = nodes.pop((row["level"], row["place"]), None)
            if expected is not None and expected != bytes(row["hash"]):
                raise Corrupt(f"A node of the audit log's tree was changed (level {level}, {row['place']}).", reason="changed-node")
    if nodes:
        raise Corrupt("A node of the audit log's tree is missing.", reason="missing-node")
