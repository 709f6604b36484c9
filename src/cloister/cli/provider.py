"""`cloister provider`: OpenID Connect providers that people may come from, and who is who there. docs/sign-in.md."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Annotated, Final

import typer

from cloister.base.errors import Conflict, Invalid, NotFound
from cloister.base.settings import read_settings
from cloister.cli.database import door_secret
from cloister.cli.estate_rows import change, rows_of
from cloister.gateway import sign_ins

app = typer.Typer(help="OpenID Connect providers that people may come from.", no_args_is_help=True, rich_markup_mode=None)

PUT: Final = """
    insert into estate.provider (id, name, issuer, client, sealed, aal, ca) values ($1, $2, $3, $4, $5, $6, $7)
    on conflict (id) do update set name = excluded.name, issuer = excluded.issuer, client = excluded.client, sealed = excluded.sealed,
        aal = excluded.aal, ca = excluded.ca returning id"""
LINK: Final = """
    insert into estate.provider_subject (provider, subject, person)
    select $1, $2, id from trust.person where sign_in = $3 and kind = 'person'
    on conflict (provider, subject) do update set person = excluded.person returning person"""
UNLINK: Final = "delete from estate.provider_subject where provider = $1 and subject = $2 returning person"
LIST: Final = """
    select p.id, p.name, p.issuer, p.client, p.aal, count(s.subject) as linked
      from estate.provider p left join estate.provider_subject s on s.provider = p.id group by p.id order by p.id limit 50"""
BESIDE: Final = """
    select p.id, p.issuer, count(s.subject) as linked from estate.provider p left join estate.provider_subject s on s.provider = p.id
     where p.id = $1 or p.issuer = $2 group by p.id limit 2"""
LINKS: Final = """
    select s.subject, p.sign_in, p.name, p.disabled from estate.provider_subject s left join trust.person p on p.id = s.person
     where s.provider = $1 order by p.sign_in, s.subject limit 10000"""
KNOWN: Final = "select id from estate.provider where id = $1"
# In one statement, so that nobody is linked between the look and the removal.
REMOVE: Final = """
    delete from estate.provider p where id = $1 and ($2 or not exists (select from estate.provider_subject s where s.provider = p.id))
    returning id"""
ID: Final = re.compile(r"[a-z0-9-]{1,40}")
Id = Annotated[str, typer.Argument(metavar="PROVIDER", help="Its name here.")]


@app.command()
def add(
    provider: Id,
    name: Annotated[str, typer.Option(help="What people are shown.")],
    issuer: Annotated[str, typer.Option(help="Letter by letter as the provider writes it.")],
    client: Annotated[str, typer.Option(help="Our client id there.")],
    secret_file: Annotated[Path | None, typer.Option(help="Our client secret there, if we have one.")] = None,
    aal: Annotated[int, typer.Option(help="How well it proves people, as far as you believe it: 1, 2 or 3.", min=1, max=3)] = 1,
    ca: Annotated[Path | None, typer.Option(help="The authority of its certificate; left out: the public ones.")] = None,
) -> None:
    """Write down a provider. Its redirect address here is https://HOST/login/back."""
    if not issuer.startswith("https://"):
        raise Invalid("An issuer is an https address.", hint="Write it as the provider does.")
    if not ID.fullmatch(provider):
        raise Invalid(f"'{provider[:80]}' is no name of a provider.", hint="Use 1 to 40 of a-z, 0-9 and '-'.")
    for row in asyncio.run(rows_of(BESIDE, provider, issuer)):
        if row["id"] != provider:
            raise Conflict(f"'{row['id']}' is this provider already.", hint="Change that one, or remove it first.")
        if row["issuer"] != issuer and row["linked"]:  # a subject is somebody at one issuer only
            hint = f"Remove it first (`cloister provider remove {provider}`), or add the other one under another name."
            raise Conflict(f"{row['linked']} people are linked at '{row['issuer']}', and this is another issuer.", hint=hint)
    settings = read_settings()
    secret = secret_file.read_text().strip().encode() if secret_file else None
    sealed = sign_ins.DoorKey(door_secret(settings), "provider").seal(secret, provider.encode()) if secret is not None else None
    asyncio.run(
        change(
            "set-provider",
            provider,
            f"{issuer} aal {aal}",
            PUT,
            provider,
            name[:80],
            issuer,
            client,
            sealed,
            aal,
            ca.read_text() if ca else "",
        ),
    )
    print(f"added {provider}; it comes back to {settings.base_url}/login/back")


@app.command()
def link(
    provider: Id, subject: Annotated[str, typer.Argument(help="The person's `sub` there.")], sign_in: Annotated[str, typer.Argument()]
) -> None:
    """Say that a subject of the provider is a person here."""
    known(provider)
    if not asyncio.run(change("set-provider", provider, f"link {subject}"[:150], LINK, provider, subject, sign_in)):
        raise NotFound(f"There is no person '{sign_in[:80]}'.", hint="Give the sign-in name.")
    print(f"{subject} of {provider} is {sign_in}")


@app.command()
def unlink(provider: Id, subject: Annotated[str, typer.Argument(help="The person's `sub` there.")]) -> None:
    """Take a link away."""
    known(provider)
    if not asyncio.run(change("set-provider", provider, f"unlink {subject}"[:150], UNLINK, provider, subject)):
        raise NotFound("There is no such link.", hint=f"See `cloister provider links {provider}`.")
    print(f"{subject} of {provider} is nobody here")


@app.command()
def links(provider: Id) -> None:
    """Who is who at a provider."""
    known(provider)
    for row in asyncio.run(rows_of(LINKS, provider)):
        print(f"{row['subject']}  {row['sign_in'] or 'nobody any more'}{'  (disabled)' if row['disabled'] else ''}")


@app.command()
def remove(
    provider: Id,
    with_links: Annotated[bool, typer.Option("--with-links", help="Also where people are linked: they then sign in another way.")] = False,
) -> None:
    """Forget a provider, with our secret there. Sessions that run go on; nobody comes from there any more, at once."""
    linked = len(asyncio.run(rows_of(LINKS, known(provider))))
    why = f"removed, {linked} linked"
    if (linked and not with_links) or not asyncio.run(change("set-provider", provider, why, REMOVE, provider, with_links)):
        hint = f"See `cloister provider links {provider}`. Unlink them, or say --with-links: they then sign in another way."
        raise Conflict(f"{linked} people come from '{provider}'.", hint=hint)
    print(f"removed {provider}")


def known(provider: str) -> str:
    """Its id; raises NotFound."""
    if not asyncio.run(rows_of(KNOWN, provider)):
        raise NotFound(f"There is no provider '{provider[:80]}'.", hint="See `cloister provider list`.")
    return provider


@app.command("list")
def list_providers() -> None:
    """Every provider, and how many people are linked."""
    for row in asyncio.run(rows_of(LIST)):
        print(f"{row['id']}  {row['name']}  {row['issuer']}  client {row['client']}, aal {row['aal']}, {row['linked']} linked")
