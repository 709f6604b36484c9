"""`cloister audit tail` and `cloister audit verify`: who did what, and whether the log is whole."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from cloister.assemble import pinned_roots, verify_checkpoint
from cloister.audit import Row, store, verified_root
from cloister.base.clock import iso
from cloister.base.settings import Settings, read_settings
from cloister.cli.database import owner

app = typer.Typer(help="The append-only log of who did what.", no_args_is_help=True, rich_markup_mode=None)

POLL_SECONDS: Final = 0.5
LAST: Final = """
    select seq, at, actor, session, action, kind, object, outcome, reason, source from audit.event
     where seq > $1 order by seq desc limit $2"""
NAMES: Final = "select id, sign_in from trust.person order by id limit 100000"


def line(row: Any, names: dict[str, str]) -> str:
    """One entry: when, who, what, on what, and how it ended."""
    who = names.get(row["actor"], row["actor"]) or "-"
    what = f"{row['action']} {row['kind']}/{row['object']}" if row["object"] else f"{row['action']} {row['kind']}".strip()
    ended = row["outcome"] + (f" ({row['reason']})" if row["reason"] else "")
    return f"{row['seq']:>8}  {iso(row['at'])}  {who:<22} {what}  {ended}" + (f"  {row['source']}" if row["source"] else "")


@app.command()
def tail(
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as entries come in.")] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, max=10_000)] = 20,
) -> None:
    """The last entries."""
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_tail(read_settings(), lines, follow))


async def _tail(settings: Settings, lines: int, follow: bool) -> None:
    async with owner(settings) as connection:
        names = {row["id"]: row["sign_in"] for row in await connection.fetch(NAMES)}
        last = -1
        wanted = lines
        while True:
            rows = await connection.fetch(LAST, last, wanted)
            for row in reversed(rows):
                print(line(row, names), flush=True)
            last = rows[0]["seq"] if rows else last
            if not follow:
                return
            wanted = 10_000
            await asyncio.sleep(POLL_SECONDS)


@app.command()
def verify() -> None:
    """Walk the whole log: every entry, the tree over them, every signed checkpoint."""
    asyncio.run(_verify(read_settings()))


async def _verify(settings: Settings) -> None:
    async with owner(settings) as connection:
        trust = pinned_roots(settings).trust_id
        checkpoints = [store.checkpoint_of(trust, row) for row in await connection.fetch(store.CHECKPOINTS, 0)]
        rows: list[Row] = []
        with Console(stderr=True).status("walking the audit log"):
            while page := await connection.fetch(store.EVENTS_AFTER, rows[-1].seq if rows else -1):
                rows += [store.row_of(row) for row in page]
    root = verified_root(rows, checkpoints, partial(verify_checkpoint, settings))
    print(f"{len(rows):,} entries and {len(checkpoints):,} checkpoints are whole; root {root.hex()}")
