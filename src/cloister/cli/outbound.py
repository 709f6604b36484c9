"""`cloister outbound`: where notifications may go, what waits, what was given up. docs/subscriptions.md.

Nothing is sent to a host that is not on this list. Every change is audited before it is made.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import re
import ssl
import uuid
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cloister.assemble import controllers_word
from cloister.base.errors import Invalid, NotFound
from cloister.base.settings import Settings, read_settings
from cloister.cli.database import owner

app = typer.Typer(
    help="Notifications to programs outside: allowed hosts, what waits, dead letters.", no_args_is_help=True, rich_markup_mode=None
)

HOSTS: Final = "select host, port, networks, authority <> '' as own_authority from outbound.host order by host, port limit 1000"
ALLOW: Final = """
    insert into outbound.host (host, port, networks, authority) values ($1, $2, $3, $4)
    on conflict (host, port) do update set networks = excluded.networks, authority = excluded.authority returning host"""
FORBID: Final = "delete from outbound.host where host = $1 and port = $2 returning host"
CHANNELS: Final = """
    select c.id, p.sign_in, c.state, c.events, c.sent, c.tries, c.due, c.error, s.state as status
      from outbound.channel c left join trust.person p on p.id = c.owner
      left join care.subscription s on s.dossier = c.dossier and s.id = c.id
     order by c.state = 'dead' desc, c.state, c.id limit 1000"""
UNDECIDED: Final = "select count(*) as n, min(made) as oldest from care.notice"
AGAIN: Final = """
    with one as (update outbound.channel set state = 'waiting', due = now(), tries = 0
                  where ($1::uuid is null or id = $1) and state in ('dead', 'waiting') and events > sent returning id)
    select count(*) as n, (select pg_notify('cloister_outbound', '') from one limit 1) from one"""
DROP: Final = """
    update outbound.channel set state = 'idle', sent = events, trying = events, tries = 0, error = ''
     where id = $1 and state in ('dead', 'waiting') returning id"""
_NAME: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9.\-]*[a-z0-9])?")


@app.command("hosts")
def hosts() -> None:
    """The hosts that notifications may go to."""
    for row in asyncio.run(_rows(HOSTS)):
        more = [", ".join(row["networks"]) or "public addresses", *(["its own authority"] if row["own_authority"] else [])]
        print(f"{row['host']}:{row['port']}  {'; '.join(more)}")


@app.command()
def allow(
    host: Annotated[str, typer.Argument(metavar="HOST[:PORT]", help="As it stands in the subscriptions' addresses; port 443 by default.")],
    network: Annotated[
        list[str] | None,
        typer.Option(help="Where the name may lead, such as 10.20.0.0/16; several are possible. Left out: public addresses only."),
    ] = None,
    ca: Annotated[Path | None, typer.Option(help="The authority of its certificate, PEM; left out: those of this system.")] = None,
) -> None:
    """Let notifications go to a host, in place of what was written before."""
    name, port = place_of(host)
    networks = [_network(text) for text in network or []]
    authority = _authority(ca) if ca is not None else ""
    why = f"{', '.join(networks) or 'public addresses'}{'; own authority' if authority else ''}"
    asyncio.run(_write(read_settings(), "allow-host", f"host/{name}:{port}", why, ALLOW, name, port, networks, authority))
    print(f"allowed {name}:{port}: {why}")


@app.command()
def forbid(host: Annotated[str, typer.Argument(metavar="HOST[:PORT]")]) -> None:
    """Let nothing more go to a host. What waits for it is tried in vain, and then given up."""
    name, port = place_of(host)
    asyncio.run(_write(read_settings(), "forbid-host", f"host/{name}:{port}", "", FORBID, name, port))
    print(f"forbidden {name}:{port}")


@app.command("list")
def list_channels() -> None:
    """Every subscription that was active once: its program, what matched, what was told, what fails. Dead ones first."""
    rows, undecided = asyncio.run(_both())
    for row in rows:
        print(f"{row['id']}  {row['sign_in'] or '?'}  {row['state']} (says {row['status']})  {row['events']} matched, {row['sent']} told")
        if row["tries"]:
            then = "" if row["state"] == "dead" else f", next {row['due']:%H:%M:%S}"
            print(f"    tried {row['tries']} times{then}: {row['error'] or 'under way'}")
    print(f"{len(rows):,} subscriptions; {undecided['n']:,} written resources wait for a session that can look at them", end="")
    print(f", the oldest since {undecided['oldest']:%Y-%m-%d %H:%M}" if undecided["n"] else "")


@app.command()
def again(
    subscription: Annotated[
        str, typer.Argument(help="Its id in `cloister outbound list`; left out: everything that waits or was given up.")
    ] = "",
) -> None:
    """Try now what waits or was given up. A subscription that says 'off' must be requested anew by its program as well."""
    rows = asyncio.run(_write(read_settings(), "notify-again", f"Subscription/{subscription or '*'}", "", AGAIN, _id(subscription)))
    print(f"{rows[0]['n']} tried again")


@app.command()
def drop(subscription: Annotated[str, typer.Argument(help="Its id in `cloister outbound list`.")]) -> None:
    """Forget what waits or was given up for a subscription: its program is not told."""
    asyncio.run(_write(read_settings(), "drop-notifications", f"Subscription/{subscription}", "", DROP, _id(subscription)))
    print("forgotten")


def place_of(text: str) -> tuple[str, int]:
    name, _, port = text.strip().lower().rpartition(":") if text.count(":") == 1 else (text.strip().lower(), "", "443")
    if not _NAME.fullmatch(name) or not port.isdigit() or not 0 < int(port) < 65536:
        raise Invalid(f"'{text[:80]}' is no host.", hint="Write a name or an IPv4 address, such as hooks.hospital.example:8443.")
    return name, int(port)


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text.strip()))
    except ValueError:
        raise Invalid(f"'{text[:60]}' is no network.", hint="Write it as 10.20.0.0/16 or 2001:db8::/32.") from None


def _authority(path: Path) -> str:
    try:
        text = path.read_text()
        ssl.create_default_context(cadata=text)
    except OSError as wrong:
        raise NotFound(f"{path} cannot be read: {wrong.strerror}.") from wrong
    except (ssl.SSLError, ValueError):
        raise Invalid(f"{path} holds no certificate.", hint="Give the authority's certificate in PEM.") from None
    return text


def _id(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text) if text else None
    except ValueError:
        raise Invalid(f"'{text[:60]}' is no id of a subscription.", hint="See `cloister outbound list`.") from None


async def _rows(sql: str) -> list[Any]:
    async with owner(read_settings()) as connection:
        return list(await connection.fetch(sql))


async def _both() -> tuple[list[Any], Any]:
    async with owner(read_settings()) as connection:
        return list(await connection.fetch(CHANNELS)), await connection.fetchrow(UNDECIDED)


async def _write(settings: Settings, action: str, what: str, why: str, sql: str, *values: Any) -> list[Any]:
    async with owner(settings, writing=True) as connection:
        entry = {"action": action, "kind": "outbound", "object": what[:200], "reason": why[:200], "actor": f"account {os.geteuid()}"}
        await controllers_word(settings, [entry])
        rows = list(await connection.fetch(sql, *values))
        if not rows:
            raise NotFound("There is nothing of that name.", hint="See `cloister outbound hosts` and `cloister outbound list`.")
        return rows
