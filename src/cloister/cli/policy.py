"""`cloister policy`: a trust's own rules, from a folder to every server. docs/policies.md.

`test` tries the examples, `sign` needs the access root from medical's safe, `publish` puts the signed version in force everywhere within
a second, `history` shows what held when, and `explain` answers "why was this refused?".
"""

from __future__ import annotations

import asyncio
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import asyncpg
import typer

from cloister.access import Actor, rules
from cloister.assemble import pinned_roots, signed_rules
from cloister.base.errors import Conflict, Corrupt, Invalid, NotFound
from cloister.base.settings import Settings, read_settings
from cloister.cli.database import owner
from cloister.cli.operating import operate
from cloister.cli.program import audited
from cloister.zones import Forged

app = typer.Typer(help="The trust's own rules: from where what may be done.", no_args_is_help=True, rich_markup_mode=None)

NEWEST: Final = "select body from trust.rules order by version desc limit 1"
ALL: Final = "select version, body, made from trust.rules order by version desc limit 200"
PUBLISH: Final = "insert into trust.rules (version, body) values ($1, $2)"
NOTE_CHARACTERS_MAX: Final = 200
LIFTS: Final = {"step-up": "a fresh proof", "second-factor": "a second factor", "": "nothing that the person can do from there"}
Folder = Annotated[Path, typer.Argument(help="A folder with rules.cedar, networks.csv and examples.csv.")]


@app.command()
def new(folder: Folder) -> None:
    """Write the usual rules into a new folder, to be changed there."""
    if folder.exists():
        raise Conflict(f"{folder} exists already.", hint="Name a new folder.")
    shutil.copytree(rules.USUAL, folder)
    print(f"{folder}: rules.cedar, networks.csv, examples.csv")


@app.command()
def test(folder: Folder) -> None:
    """Read the folder and try every example; the first that fails is named by its line."""
    found = rules.read_folder(folder, 0)
    examples = len(rules.read_examples(found.examples))
    print(f"{len(found.rules.names)} rules, {len(found.networks.rows)} networks, {examples} examples hold")


@app.command()
def sign(
    folder: Folder,
    out: Annotated[Path, typer.Option(help="Where the signed version goes.")],
    note: Annotated[str, typer.Option(help="What has changed, for the history.")] = "",
    roots: Annotated[Path | None, typer.Option(help="Folder with the sealed roots, as brought from the safe.")] = None,
    passphrase_file: Annotated[Path | None, typer.Option(help="The access root's passphrase in a file; asked for otherwise.")] = None,
) -> None:
    """Sign the next version with the access root, after its examples hold."""
    settings = read_settings()
    version = asyncio.run(_in_force(settings)).version + 1
    made = int(datetime.now(UTC).timestamp() * 1000)
    bundle = rules.read_folder(folder, version, made=made, note=note[:NOTE_CHARACTERS_MAX])
    typed = (
        passphrase_file.read_text().strip()
        if passphrase_file
        else typer.prompt(
            "Passphrase of the access root",
            hide_input=True,
            err=True,
        )
    )
    out.write_bytes(signed_rules(settings, bundle, str(typed), roots))
    print(f"signed version {version}: {out}")


@app.command()
def publish(file: Annotated[Path, typer.Argument(help="What `sign` wrote.")]) -> None:
    """Put a signed version in force, at the door and in every open session."""
    settings = read_settings()
    try:
        blob = file.read_bytes()
    except OSError as wrong:
        raise NotFound(f"{file} cannot be read: {wrong.strerror}.") from wrong
    bundle = _opened(blob, settings)
    asyncio.run(_publish(settings, blob, bundle))
    print(f"version {bundle.version} is in force")


async def _publish(settings: Settings, blob: bytes, bundle: rules.Bundle) -> None:
    async with owner(settings, writing=True) as connection:
        await audited(settings, "publish-rules", f"rules/{bundle.version}", bundle.note or "published")
        try:
            await connection.execute(PUBLISH, bundle.version, blob)
        except asyncpg.UniqueViolationError:
            raise Conflict(f"Version {bundle.version} is not the next one.", hint="Sign it anew: `cloister policy sign`.") from None


@app.command()
def history() -> None:
    """Every version, the newest first."""
    settings = read_settings()
    for version, made, blob in asyncio.run(_all(settings)):
        bundle = _opened(blob, settings)
        names = len(bundle.rules.names)
        print(f"{version:>4}  {made:%Y-%m-%d %H:%M}  {names} rules, {len(bundle.networks.rows)} networks  {bundle.note}")
    print("   0  what holds until a trust has rules of its own")


@app.command()
def show(folder: Annotated[Path, typer.Argument(help="A new folder for its three files.")]) -> None:
    """Write the version in force into a folder, to be read or changed."""
    bundle = asyncio.run(_in_force(read_settings()))
    if folder.exists():
        raise Conflict(f"{folder} exists already.", hint="Name a new folder.")
    folder.mkdir(parents=True)
    rows = "".join(f"{row.network},{row.place},{row.name}\n" for row in bundle.networks.rows)
    for name, text in zip(rules.FILES, (bundle.rules.text, f"network,place,name\n{rows}", bundle.examples), strict=True):
        (folder / name).write_text(text, encoding="utf-8")
    print(f"version {bundle.version}: {folder}")


@app.command()
def why(
    number: Annotated[str, typer.Argument(help="The refusal's number, as its page showed it; or a sign-in name for the recent ones.")],
    language: Annotated[str, typer.Option(help="en or fr.")] = "en",
) -> None:
    """Why something was refused: who, what, from where, by which rule, and what would lift it. On record, like the page of officers."""
    found = operate("refusals", search=number)["refusals"]
    if not found:
        raise NotFound(f"There is no refusal '{number[:40]}' of the last 30 days.", hint="Numbers look like 48122-09371.")
    for row in found:
        said = row["said"].get(language) or row["said"]["en"]
        site = f" ({row['site']})" if row["site"] else ""
        version = f"version {row['version']}" if row["version"] else "built in"
        print(f"{row['number']}  {row['at']}  {row['name'] or row['sign_in']} ({row['sign_in']}, {row['role']})")
        print(f"    asked     {row['action']} {row['what']} by {row['application'] or 'the door'}")
        proved = f"aal {row['aal']}, proved {row['minutes']} minutes ago by {row['factors'] or 'nothing'}"
        print(f"    from      {row['place']}{site}, {row['address'] or 'no address'}; {proved}")
        print(f"    refused   {row['rule']}, {version}: {' '.join(said).strip()}")
        print(f"    lifts it  {LIFTS[row['remedy']]}")


@app.command()
def explain(
    role: Annotated[str, typer.Option(help="doctor, nurse, access-officer, ...")],
    action: Annotated[str, typer.Option(help="sign-in, read, create, update, export, print, sign, release, ...")],
    what: Annotated[str, typer.Option(help="A FHIR resource type, a page, or program/NAME.")] = "start",
    address: Annotated[str, typer.Option(help="Where from.")] = "127.0.0.1",
    aal: Annotated[int, typer.Option(help="How well proved: 1, 2 or 3.", min=1, max=3)] = 1,
    minutes: Annotated[int, typer.Option(help="Since the last proof.", min=0)] = 0,
    language: Annotated[str, typer.Option(help="en or fr.")] = "en",
) -> None:
    """Why something is refused, or that no rule of the trust forbids it; under the version in force."""
    bundle = asyncio.run(_in_force(read_settings()))
    place, site = bundle.networks.of(address)
    standing = rules.Standing(place=place, site=site, aal=aal, minutes=minutes)
    facts = rules.facts_of(what)
    if action not in rules.ACTIONS:
        raise Invalid(f"There is no action '{action[:40]}'.", hint=", ".join(sorted(rules.ACTIONS)))
    found = bundle.rules.refusal(Actor(person="", name="", role=role, hospital=None, session=""), action, facts, standing)
    print(f"version {bundle.version}; {address} is {place}{f' ({site})' if site else ''}; aal {aal}, proved {minutes} minutes ago")
    if found is None:
        print("no rule of the trust forbids this; the program's own policy and the zone's keys decide")
        return
    text, hint = found.sentence(language)
    print(f"refused by {found.rule}: {text} {hint}".rstrip())
    if found.remedy:
        print(f"{LIFTS[found.remedy]} lifts it")
    raise typer.Exit(1)


def _opened(blob: bytes, settings: Settings) -> rules.Bundle:
    try:
        return rules.opened(blob, pinned_roots(settings))
    except Forged:
        raise Corrupt("These rules were not signed by this trust's access root.", hint="Sign them: `cloister policy sign`.") from None


async def _in_force(settings: Settings) -> rules.Bundle:
    async with owner(settings) as connection:
        blob = await connection.fetchval(NEWEST)
    return rules.usual() if blob is None else _opened(bytes(blob), settings)


async def _all(settings: Settings) -> list[tuple[int, datetime, bytes]]:
    async with owner(settings) as connection:
        return [(row["version"], row["made"], bytes(row["body"])) for row in await connection.fetch(ALL)]
