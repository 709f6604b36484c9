"""`cloister certificate`: authorities of cards, their lists of what was revoked, and whose certificate is whose. docs/cards.md."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cloister.base.errors import NotFound
from cloister.base.settings import read_settings
from cloister.cli.database import owner
from cloister.cli.estate_rows import rows_of
from cloister.cli.program import audited
from cloister.zones import certificates

app = typer.Typer(help="Certificates on cards, for signing in at the card's own address.", no_args_is_help=True, rich_markup_mode=None)

AUTHORITY: Final = """
    insert into estate.card_authority (id, chain, crls) values ($1, $2, $3)
    on conflict (id) do update set chain = excluded.chain, crls = excluded.crls, changed = now()"""
REGISTER: Final = """
    insert into estate.certificate (fingerprint, person, label) select $1, id, $3 from trust.person where sign_in = $2 and kind = 'person'
    on conflict (fingerprint) do update set person = excluded.person, label = excluded.label returning person"""
FORGET: Final = "delete from estate.card_authority where id = $1 returning id"
AUTHORITIES: Final = "select id, changed from estate.card_authority order by id limit 100"
CARDS: Final = """
    select encode(c.fingerprint, 'hex') as fingerprint, coalesce(p.sign_in, 'nobody any more') as sign_in, c.label
      from estate.certificate c left join trust.person p on p.id = c.person order by p.sign_in, c.made limit 100000"""
REMOVE: Final = "delete from estate.certificate where fingerprint = $1 returning person"


@app.command()
def authority(
    name: Annotated[str, typer.Argument(help="Its name here.")],
    chain: Annotated[Path, typer.Option(help="Its certificates, PEM.")],
    crl: Annotated[list[Path], typer.Option(help="Its current lists of revoked certificates, PEM; one for each issuer.")],
) -> None:
    """Write down an authority of cards with its newest lists. Without a current list no card of it is taken: run this by a timer."""
    lists = "\n".join(path.read_text() for path in crl)
    asyncio.run(_write(name, f"{len(crl)} lists", AUTHORITY, name, chain.read_text(), lists))
    print(f"authority {name} is written down")


@app.command("list")
def list_certificates() -> None:
    """The authorities, when their lists were last brought, and whose cards are whose."""
    for row in asyncio.run(rows_of(AUTHORITIES)):
        print(f"authority {row['id']}  lists brought {row['changed']:%Y-%m-%d %H:%M} UTC")
    for row in asyncio.run(rows_of(CARDS)):
        print(f"{row['fingerprint']}  {row['sign_in']}  {row['label']}".rstrip())


@app.command()
def forget(name: Annotated[str, typer.Argument(help="An authority's name here.")]) -> None:
    """Take no card of an authority any more; sessions that its cards opened end within seconds."""
    if not asyncio.run(_write(name, "forget", FORGET, name)):
        raise NotFound(f"There is no authority '{name[:80]}'.", hint="See `cloister certificate list`.")
    print(f"authority {name} is forgotten")


@app.command()
def register(
    sign_in: Annotated[str, typer.Argument(help="Whose card it is.")],
    certificate: Annotated[Path, typer.Argument(help="The card's certificate, PEM.")],
    label: Annotated[str, typer.Option(help="A name for it.")] = "",
) -> None:
    """Say whose certificate this is, by its SHA-256."""
    fingerprint = certificates.fingerprint(certificate.read_text())
    if not asyncio.run(_write(sign_in, fingerprint.hex(), REGISTER, fingerprint, sign_in, label[:80])):
        raise NotFound(f"There is no person '{sign_in[:80]}'.", hint="Give the sign-in name.")
    print(f"{fingerprint.hex()} is {sign_in}")


@app.command()
def remove(fingerprint: Annotated[str, typer.Argument(help="SHA-256, hexadecimal.")]) -> None:
    """This certificate is nobody's any more; a session that it opened ends within seconds."""
    try:
        raw = bytes.fromhex(fingerprint)
    except ValueError:
        raw = b""
    if not asyncio.run(_write("", fingerprint[:64], REMOVE, raw)):
        raise NotFound("There is no such certificate.", hint="See `cloister certificate list`.")
    print("removed")


async def _write(whom: str, why: str, sql: str, *values: Any) -> Any:
    settings = read_settings()
    async with owner(settings, writing=True) as connection:
        await audited(settings, "set-certificate", whom, why)
        return await connection.fetch(sql, *values)
