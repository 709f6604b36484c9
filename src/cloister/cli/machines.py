"""`cloister server token`, `join`, `run`, `renew`, `machines`, `remove`: machines come into the estate and leave it. docs/servers.md."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from cloister.assemble import joining, member
from cloister.base.clock import iso
from cloister.base.errors import Invalid
from cloister.base.settings import Settings, read_settings
from cloister.cli.database import owner
from cloister.farm import machine_store, machines


def token(
    controller: Annotated[bool, typer.Option("--controller", help="For a further controller, which gets the estate's secrets.")] = False,
    minutes: Annotated[int, typer.Option(help="How long it may be used, once.")] = 15,
) -> None:
    """A one-time token for a machine that is to join. On the controller with the database. It is shown this once."""
    kind = machines.Kind.CONTROLLER if controller else machines.Kind.SERVER
    print(asyncio.run(joining.new_token(read_settings(), kind, timedelta(minutes=minutes))))


def join(
    controller: Annotated[str, typer.Argument(help="A controller's address on the farm's network, such as 10.0.0.1.")],
    token: Annotated[str, typer.Option(help="What `cloister server token` printed.")] = "",
    token_file: Annotated[Path | None, typer.Option(help="A file that holds it; - for standard input.")] = None,
    name: Annotated[str, typer.Option(help="This machine's name in the estate; its host name otherwise.")] = "",
    address: Annotated[str, typer.Option(help="Its address on the farm's network; found out otherwise.")] = "",
    run: Annotated[bool, typer.Option("--run", help="And run it, as `cloister server run` does.")] = False,
) -> None:
    """Make this machine a server of the controller's trust. Its key is made here and stays here."""
    settings = read_settings()
    found = asyncio.run(joining.join(settings, controller, _text(token, token_file), name=name, address=address))
    print(f"joined: {found.kind} '{found.name}' at {found.trust['farm_address']} port {found.trust['farm_port']}")
    if run:
        sys.exit(member.run_member(settings))
    print("next: cloister server run")


def _text(token: str, file: Path | None) -> str:
    """On a command line a token is seen by whoever lists processes; it is of use to nobody a moment later."""
    if token and file is None:
        return token
    if file is None or token:
        raise Invalid("A machine joins by one token.", hint="--token T, or --token-file FILE")
    try:
        return sys.stdin.readline() if str(file) == "-" else file.read_text()
    except OSError as wrong:
        raise Invalid(f"The token's file cannot be read: {wrong.strerror}.", hint="--token-file FILE") from wrong


def run_server() -> None:
    """Run this machine's part of the estate, until Ctrl-C. It must have joined."""
    sys.exit(member.run_member(read_settings()))


def renew() -> None:
    """A new certificate for this machine now, before it is due; it must have joined."""
    asyncio.run(joining.renew_now(read_settings()))
    print("renewed")


def list_machines() -> None:
    """Every machine: where it is, how it stands, until when its certificate is good, and how many sessions it has."""
    asyncio.run(_list(read_settings()))


async def _list(settings: Settings) -> None:
    async with owner(settings) as connection:
        found = await machine_store.MachineStore(connection).machines()
    for one in found:
        place = f"{one['address']}:{one['port']}"
        ends = iso(one["ends"]) if one["ends"] is not None else "-"
        print(f"{one['id']:<24} {one['kind']:<11} {place:<24} {_standing(one):<24} certificate until {ends}  {one['sessions']:,} sessions")
    print(f"{len(found):,} machines")


def lost(hours: Annotated[int, typer.Option(help="How far back.")] = 24) -> None:
    """What was lost with servers, agents and sessions that died: whose session, where, when and why. Newest first."""
    asyncio.run(_lost(read_settings(), hours))


async def _lost(settings: Settings, hours: int) -> None:
    async with owner(settings) as connection:
        found = await connection.fetch(machine_store.LOST, hours)
    for row in found:
        print(f"{iso(row['changed'])}  {row['why']:<14} {row['server']:<20} {row['who']:<24} {row['id']}")
    print(f"{len(found):,} sessions")


def _standing(one: dict[str, Any]) -> str:
    if one["removed"] is not None:
        return "removed"
    if one["lines"]:
        return f"{one['state'] or 'joined'}, {one['lines']} lines"
    if one["seen"] is None:
        return "never heard"
    return f"silent {machines.minutes(datetime.now(UTC) - one['seen'])}"


def remove(name: Annotated[str, typer.Argument(help="Its name, as `server machines` shows it.")]) -> None:
    """Take a machine out: its certificates and database roles are refused from now on, its sessions end."""
    asyncio.run(joining.remove(read_settings(), name))
    print(f"removed {name}")
