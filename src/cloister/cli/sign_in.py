"""`cloister sign-in`: what an operator may do for somebody who cannot sign in. It opens nothing. docs/sign-in.md."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

import typer

from cloister.base.errors import NotFound
from cloister.base.settings import read_settings
from cloister.cli.database import owner
from cloister.cli.program import audited
from cloister.gateway import limits
from cloister.identity import sign_in as names

app = typer.Typer(help="For somebody who cannot sign in.", no_args_is_help=True, rich_markup_mode=None)

UNLOCK: Final = "delete from estate.attempt where key = $1 returning failures"
FORGET: Final = "delete from estate.totp t using trust.person p where p.id = t.person and p.sign_in = $1 returning t.person"
Name = Annotated[str, typer.Argument(metavar="NAME", help="The sign-in name.")]


@app.command()
def unlock(name: Name) -> None:
    """Failures in a row are forgotten: a passphrase is taken for this name again."""
    asyncio.run(
        _write(
            name, "unlock", UNLOCK, limits.key_of(limits.Counted.PERSON, names.normalised(name)), "No failures are counted for this name."
        ),
    )


@app.command("forget-telephone")
def forget_telephone(name: Name) -> None:
    """One-time codes of a lost telephone no longer count; the person sets up a new one in a session of their own."""
    asyncio.run(_write(name, "forget-telephone", FORGET, names.normalised(name), "This person has no one-time codes."))


async def _write(name: str, act: str, sql: str, value: object, nothing: str) -> None:
    settings = read_settings()
    async with owner(settings, writing=True) as connection:
        await audited(settings, f"sign-in-{act}", name, act)
        if await connection.fetchval(sql, value) is None:
            raise NotFound(nothing)
    print(f"{act}: {name}")
