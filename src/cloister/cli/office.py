"""`cloister office mandate`: a root gives its office to one more person. Only here, on the machine, with the root's own passphrase."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from cloister.assemble import mandate_candidate, sign_mandate
from cloister.base.clock import system_clock
from cloister.base.errors import Invalid
from cloister.base.settings import read_settings
from cloister.zones import grants

app = typer.Typer(help="The offices: who may certify, and who may grant.", no_args_is_help=True, rich_markup_mode=None)
DAYS = 1825


@app.callback()
def office() -> None:
    """The offices: who may certify, and who may grant."""


@app.command()
def mandate(
    kind: Annotated[str, typer.Argument(metavar="OFFICE", help="certificate or access: the office, and the root that gives it.")],
    sign_in: Annotated[str, typer.Argument(help="Sign-in name of the person.")],
    days: Annotated[int, typer.Option(help="For how long.")] = DAYS,
    ceiling: Annotated[str, typer.Option(help="The most that an access officer may give: hold, read or write.")] = "write",
    zone: Annotated[list[str] | None, typer.Option(help="An access officer's zones; all of them when none is named.")] = None,
    roots: Annotated[Path | None, typer.Option(help="Folder with the sealed roots, as brought from the safe.")] = None,
    passphrase_file: Annotated[Path | None, typer.Option(help="The root's passphrase in a file; asked for otherwise.")] = None,
    words: Annotated[str, typer.Option(help="The seven words of the officer's keys, as that person says them; asked for otherwise.")] = "",
) -> None:
    """Mandate a certificate officer or an access officer, after comparing the words of their keys with them."""
    if kind not in {str(one) for one in grants.Office}:
        raise Invalid(f"There is no office '{kind[:40]}'.", hint="Say certificate or access.")
    if ceiling not in {str(one) for one in grants.Right}:
        raise Invalid(f"There is no right '{ceiling[:40]}'.", hint="Say hold, read or write.")
    settings, now = read_settings(), system_clock()
    chosen = asyncio.run(mandate_candidate(settings, kind, sign_in, now=now))
    print(f"{chosen.name} would hold the {kind} office for {days} days.")
    heard = words or typer.prompt("The seven words of this person's keys, as they say them", err=True)
    if " ".join(str(heard).lower().split()) != chosen.words:
        raise Invalid("These are not the words of these keys.", hint="Compare once more; if they differ, somebody stands in between.")
    passphrase = (
        passphrase_file.read_text().strip()
        if passphrase_file
        else str(typer.prompt(f"Passphrase of the {kind} root", hide_input=True, err=True))
    )
    hashed = asyncio.run(
        sign_mandate(settings, chosen, passphrase=passphrase, folder=roots, ceiling=ceiling, zones=zone or None, days=days, now=now)
    )
    print(f"mandated {chosen.name}: {hashed.hex()[:16]}")
