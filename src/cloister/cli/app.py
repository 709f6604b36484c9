"""`cloister app`: which SMART apps may ask the people of this trust. An app gets nothing by it: a person lets it in, or not.

Every change is audited before it is made.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from typing import Annotated, Any, Final

import typer

from cloister.access import read_scopes
from cloister.base.errors import Conflict, Invalid, NotFound
from cloister.base.settings import Settings, read_settings
from cloister.cli.database import owner
from cloister.cli.program import audited
from cloister.gateway import clients

app = typer.Typer(help="SMART apps that people may let into their sessions.", no_args_is_help=True, rich_markup_mode=None)

APPS: Final = "select id, name, scopes, redirects, launch, secret_hash, bound from estate.client where kind = 'app' order by id limit 1000"
TAKEN: Final = "select true from trust.person where sign_in = $1"
REGISTER: Final = """
    insert into estate.client (id, kind, name, scopes, redirects, launch, secret_hash, bound) values ($1, 'app', $2, $3, $4, $5, $6, $7)
    on conflict (id) do update set name = excluded.name, scopes = excluded.scopes, redirects = excluded.redirects,
        launch = excluded.launch, secret_hash = excluded.secret_hash, bound = excluded.bound, changed = now()
     where estate.client.kind = 'app' returning id"""
REMOVE: Final = "delete from estate.client where id = $1 and kind = 'app' returning id"
NAME_MAX: Final = 80


@app.command("list")
def list_apps() -> None:
    """Every app, where it comes back to, and the most that it may ask for."""
    asyncio.run(_list(read_settings()))


async def _list(settings: Settings) -> None:
    async with owner(settings) as connection:
        rows = await connection.fetch(APPS)
    for row in rows:
        known = clients.client_of({**_NOTHING, **dict(row)})
        print(f"{known.id}  {known.name}{'  (confidential)' if known.secret_hash else ''}{'  (bound to a key)' if known.bound else ''}")
        print(f"    scopes    {known.scopes}")
        print(f"    returns   {' '.join(known.redirects)}")
        if known.launch:
            print(f"    launch    {known.launch}")
    print(f"{len(rows):,} apps")


_NOTHING: Final[dict[str, Any]] = {
    "kind": "app", "keys": [], "secret_taken": True, "per_second": None, "burst": None, "at_once": None, "bulk_bytes": None,
}  # fmt: skip


@app.command()
def register(
    client: Annotated[str, typer.Argument(metavar="APP", help="Its client id.")],
    name: Annotated[str, typer.Option(help="What people are shown.")],
    redirect: Annotated[list[str], typer.Option(help="Where it comes back to, letter by letter; several are possible.")],
    scopes: Annotated[str, typer.Option(help="The most that it may ask for, such as 'patient/*.rs'.")],
    launch: Annotated[str, typer.Option(help="Where it is started from a chart.")] = "",
    secret: Annotated[bool, typer.Option("--secret", help="Give it a secret, if it can keep one (a server's app).")] = False,
    bound: Annotated[bool, typer.Option("--bound", help="Tokens only for a key that proves each request (DPoP, RFC 9449).")] = False,
) -> None:
    """Write down an app, in place of what was written before. Its pages' origins may then ask the FHIR address (CORS)."""
    if not 0 < len(name) <= NAME_MAX or not name.isprintable():
        raise Invalid("This is no name to show to people.", hint=f"Use 1 to {NAME_MAX} letters.")
    returns = [clients.checked_redirect(one) for one in redirect]
    if len(returns) > clients.REDIRECTS_MAX:
        raise Invalid("These are too many addresses.", hint=f"At most {clients.REDIRECTS_MAX}.")
    started = clients.checked_redirect(launch) if launch else ""
    most = read_scopes(scopes).of_level("patient", "user")
    if not most.resources and "openid" not in most.words:
        raise Invalid(
            "None of these scopes is one for an app.",
            hint="Write scopes such as 'patient/*.rs user/Practitioner.rs', or 'openid profile' for one that only learns who somebody is.",
        )
    text = " ".join(map(str, most.resources))
    shown = secrets.token_urlsafe(32) if secret else ""
    hashed = hashlib.sha256(shown.encode()).digest() if secret else None
    values = (name, text, json.dumps(returns), started, hashed, bound)
    asyncio.run(_write(read_settings(), client, f"{text}; {' '.join(returns)}", REGISTER, *values))
    print(f"registered {client}: {text}{'; tokens bound to a key' if bound else ''}")
    if shown:
        print(f"secret, shown once: {shown}")


@app.command()
def remove(client: Annotated[str, typer.Argument(metavar="APP", help="Its client id.")]) -> None:
    """Forget an app: it gets no further tokens; those that it has end within ten minutes, or with their sessions."""
    asyncio.run(_write(read_settings(), client, "removed", REMOVE))
    print(f"removed {client}")


async def _write(settings: Settings, client: str, why: str, sql: str, *values: Any) -> None:
    async with owner(settings, writing=True) as connection:
        if not 0 < len(client) <= 128 or not client.isascii() or not client.isprintable() or " " in client:
            raise Invalid("This is no client id.", hint="Use 1 to 128 ASCII letters without spaces.")
        if await connection.fetchval(TAKEN, client):
            raise Conflict(f"'{client}' is somebody's sign-in name.", hint="Choose another client id.")
        await audited(settings, "register-client", client, why)
        if await connection.fetchval(sql, client, *values) is None:
            raise NotFound(f"There is no app '{client[:80]}'.", hint="See `cloister app list`.")
