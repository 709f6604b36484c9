"""`cloister audit tail` and `cloister audit verify`: that something was done, and whether the log is whole.

Who did what to whose record is sealed for the privacy office, and shown in a privacy officer's session only.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from cloister.assemble import verify_checkpoint
from cloister.audit import Checkpoint, Walk, store
from cloister.base.clock import iso
from cloister.base.errors import EXIT_CODE, Corrupt
from cloister.base.settings import Settings, read_settings
from cloister.cli.database import owner

app = typer.Typer(help="The append-only log of who did what.", no_args_is_help=True, rich_markup_mode=None)

POLL_SECONDS: Final = 0.5
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
    if walk.gaps:
        print("hint: Entries that were numbered were never written; see the log of part 'gate' at that time.")
        raise typer.Exit(EXIT_CODE["corrupt"])


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
