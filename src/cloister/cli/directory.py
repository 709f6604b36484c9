"""`cloister directory`: the hospital's directories, and staff lists. They propose and grant nothing. docs/directory.md."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from pathlib import Path
from typing import Annotated, Final

import typer

from cloister.base.errors import Invalid, NotFound
from cloister.base.secret import Secret
from cloister.base.settings import read_settings
from cloister.cli.database import door_secret, owner
from cloister.cli.estate_rows import change, rows_of
from cloister.cli.program import audited
from cloister.gateway import sign_ins

app = typer.Typer(help="The hospital's directories, and staff lists.", no_args_is_help=True, rich_markup_mode=None)

PUT: Final = """
    insert into estate.directory (id, kind, priority, urls, base, bind, sealed, ca, schema)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    on conflict (id) do update set kind = excluded.kind, priority = excluded.priority, urls = excluded.urls, base = excluded.base,
        bind = excluded.bind, sealed = excluded.sealed, ca = excluded.ca, schema = excluded.schema,
        source = '', cursor = 0"""
REMOVE: Final = "delete from estate.directory where id = $1 returning id"
LIST: Final = """
    select d.id, d.kind, d.schema, d.priority, d.urls, d.seen, d.fault, count(a.id) as accounts, count(a.person) as linked
      from estate.directory d left join estate.directory_account a on a.directory = d.id group by d.id order by d.priority, d.id limit 50"""
PROPOSE: Final = """
    insert into estate.directory_proposal (source, kind, name, what) values ('list', 'person', $1, $2)
    on conflict do nothing returning id"""
KNOWN: Final = "select true from trust.person where sign_in = $1"
KINDS: Final = ("administrative", "medical")
LIST_COLUMNS: Final = ("sign_in", "name")
LINES_MAX: Final = 100_000


@app.command()
def add(
    directory: Annotated[str, typer.Argument(help="Its name here, such as hr.")],
    kind: Annotated[str, typer.Option(help="administrative or medical.")],
    url: Annotated[list[str], typer.Option(help="ldaps://server; several are possible, the first that answers is asked.")],
    base: Annotated[str, typer.Option(help="Where its people are, such as DC=hospital,DC=example.")],
    bind: Annotated[str, typer.Option(help="The account that reads it: reader@hospital.example.")],
    password_file: Annotated[Path, typer.Option(help="That account's password.")],
    ca: Annotated[Path, typer.Option(help="The authority of its servers' certificates, PEM. There is no way without.")],
    priority: Annotated[int, typer.Option(help="Lower is asked first.")] = 10,
    schema: Annotated[str, typer.Option(help="active-directory, or rfc2307 for OpenLDAP and most others.")] = "active-directory",
) -> None:
    """Write down a directory, in place of what was written before; it is tried at once."""
    if kind not in KINDS:
        raise Invalid(f"There is no kind '{kind[:40]}'.", hint=f"Say {' or '.join(KINDS)}.")
    if schema not in sign_ins.SCHEMAS:
        raise Invalid(f"There is no schema '{schema[:40]}'.", hint=f"Say {' or '.join(sign_ins.SCHEMAS)}.")
    settings, password, authority = read_settings(), Secret(_text(password_file).strip().encode()), _text(ca)
    tried = sign_ins.Directory(
        id=directory, kind=kind, priority=priority, urls=tuple(url), base=base, bind=bind, password=password, ca=authority,
        schema=schema,
    )  # fmt: skip
    found = sign_ins.Ldap(tried).looked_at()
    sealed = sign_ins.DoorKey(door_secret(settings), "directory").seal(password.reveal(), directory.encode())
    values = (directory, kind, priority, json.dumps(list(url)), base, bind, sealed, authority, schema)
    asyncio.run(change("set-directory", directory, f"{kind} {' '.join(url)}", PUT, *values))
    print(f"added {directory}: it answers, {found}")


@app.command()
def remove(directory: Annotated[str, typer.Argument(help="Its name here.")]) -> None:
    """Forget a directory and its links: nobody proves themselves by it any more."""
    if not asyncio.run(change("set-directory", directory, "removed", REMOVE, directory)):
        raise NotFound(f"There is no directory '{directory[:40]}'.", hint="See `cloister directory list`.")
    print(f"removed {directory}")


@app.command("list")
def list_directories() -> None:
    """Every directory, when it last answered, and how many accounts it has."""
    for row in asyncio.run(rows_of(LIST)):
        seen = f"{row['seen']:%Y-%m-%d %H:%M:%S}" if row["seen"] else "never"
        counts = f"{row['accounts']:,} accounts, {row['linked']:,} linked"
        print(f"{row['priority']:>3}  {row['id']}  {row['kind']}, {row['schema']}  {counts}; answered {seen}")
        if row["fault"]:
            print(f"     {row['fault']}")


@app.command()
def propose(table: Annotated[Path, typer.Argument(help="CSV with the columns sign_in and name.")]) -> None:
    """A staff list: whoever is not here becomes a proposal for the certificate officer, who enrols them or does not."""
    rows = csv.DictReader(io.StringIO(_text(table).lstrip("\ufeff")), strict=True)
    if not set(LIST_COLUMNS) <= {name.strip() for name in rows.fieldnames or ()}:
        raise Invalid(f"The first line must name the columns {', '.join(LIST_COLUMNS)}.", hint="Separate them by commas.")
    try:
        found = [((row.get("name") or "").strip()[:200], (row.get("sign_in") or "").strip().lower()[:128]) for row in rows]
    except csv.Error as wrong:
        raise Invalid("This is not a table of comma-separated values.", hint=f"Near line {rows.line_num}.") from wrong
    if len(found) > LINES_MAX:
        raise Invalid(f"More than {LINES_MAX:,} lines.", hint="Send it in parts.")
    made = asyncio.run(_propose([one for one in found if one[1]]))
    print(f"{made:,} proposals from {len(found):,} lines")


async def _propose(found: list[tuple[str, str]]) -> int:
    settings, made = read_settings(), 0
    async with owner(settings, writing=True) as connection:
        await audited(settings, "propose-people", "list", f"{len(found)} lines")
        for name, sign_in in found:
            if not await connection.fetchval(KNOWN, sign_in):
                made += await connection.fetchval(PROPOSE, name, sign_in) is not None
    return made


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as wrong:
        raise NotFound(f"{path} cannot be read.", hint="Name a readable text file.") from wrong
