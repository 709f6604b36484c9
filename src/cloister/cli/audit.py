"""`cloister audit tail` and `cloister audit verify`: who did what, and whether the log is whole."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from cloister.assemble import pinned_roots, verify_checkpoint
from cloister.audit import Checkpoint, Row, store, verified_root
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
    trust = pinned_roots(settings).trust_id
    async with owner(settings) as connection:
        checkpoints: list[Checkpoint] = []
        while page := await connection.fetch(store.CHECKPOINTS, checkpoints[-1].size if checkpoints else 0):
            checkpoints += [store.checkpoint_of(trust, row) for row in page]
        walked = 0

        def rows() -> Iterator[Row]:
            """Page by page, so that a log of years fits in memory; the tree is built beside the loop that fetches."""
            nonlocal walked
            last = -1
            while page := asyncio.run_coroutine_threadsafe(connection.fetch(store.EVENTS_AFTER, last), loop).result():
                for row in page:
                    yield store.row_of(row)
                last = page[-1]["seq"]
                walked += len(page)
                status.update(f"walking the audit log: {walked:,}")

        loop = asyncio.get_running_loop()
        with Console(stderr=True).status("walking the audit log") as status:
            root = await asyncio.to_thread(verified_root, rows(), checkpoints, partial(verify_checkpoint, settings))
    print(f"{walked:,} entries and {len(checkpoints):,} signed checkpoints are whole; root {root.hex()}")
