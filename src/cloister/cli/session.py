"""`cloister session list` and `cloister session end`: who has a session on which server."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

import typer

from cloister.base.clock import iso
from cloister.base.settings import Settings, read_settings
from cloister.base.wire import Caller
from cloister.cli.database import owner

app = typer.Typer(help="Sessions of this trust.", no_args_is_help=True, rich_markup_mode=None)

SESSIONS: Final = """
    select s.id, coalesce(p.sign_in, s.person) as who, s.role, s.label, s.server, s.slot, s.state, s.started
      from estate.session s left join trust.person p on p.id = s.person
     where s.state <> 'ended' or $1 order by s.started limit 5000"""


@app.command("list")
def list_sessions(every: Annotated[bool, typer.Option("--all", help="Also those that have ended.")] = False) -> None:
    """Live sessions, the oldest first."""
    asyncio.run(_list(read_settings(), every))


async def _list(settings: Settings, every: bool) -> None:
    async with owner(settings) as connection:
        rows = await connection.fetch(SESSIONS, every)
    for row in rows:
        slot = "-" if row["slot"] is None else row["slot"]
        place = f"{row['server']}:{slot}"
        text = f"{row['id']}  {row['state']:<12} {row['who']:<22} {row['role']:<20} {place}  {iso(row['started'])} {row['label']}"
        print(text.rstrip())
    print(f"{len(rows):,} sessions")


@app.command()
def end(session: Annotated[str, typer.Argument(help="Its id, as `session list` shows it.")]) -> None:
    """End a session now: its process is killed and its keys are gone."""
    asyncio.run(_end(read_settings(), session))
    print(f"ended {session}")


async def _end(settings: Settings, session: str) -> None:
    """Through the agent, which tells the controller; it listens to root and to its own account."""
    agent = Caller(settings.socket("agent"), part="agent")
    try:
        await agent.call("end", session=session, reason="administrator")
    finally:
        agent.close()
