"""`cloister demo`: made-up patients for the running trust or for a folder; `cloister demo sign-ins` prints who may sign in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Annotated

import orjson
import typer

from cloister.base.clock import system_clock
from cloister.base.errors import Invalid, Unavailable
from cloister.base.settings import Settings, read_settings
from cloister.cli.importing.command import run_and_tell
from cloister.cli.importing.unit import Rejected, Unit
from cloister.cli.place import find_trust, read_sign_ins
from cloister.cli.terminology import write_pack
from cloister.demo import Portion, code_systems, demo_plan, portions
from cloister.records import loading

app = typer.Typer(help="Made-up patients, and the demo's sign-ins.", invoke_without_command=True, rich_markup_mode=None)


@app.callback()
def demo(
    context: typer.Context,
    patients: Annotated[int, typer.Option(min=0, max=1_000_000, help="How many patients to make.")] = 200,
    seed: Annotated[int, typer.Option(help="The same seed makes the same patients.")] = 1,
    to: Annotated[Path | None, typer.Option(help="Write bundles to this folder instead of the running trust.")] = None,
) -> None:
    """Make patients who do not exist: French names, stays, problems, medication, vital signs, results, notes, appointments."""
    if context.invoked_subcommand is not None:
        return
    if to is not None:
        count = write(portions(patients, seed, today=system_clock().date()), to)
        print(f"{count:,} resources written to {to}")
        return
    settings = read_settings()
    codes = list(code_systems())
    write_pack(settings.terminology, "demo", loading.packed(codes, codes, system_clock()))
    today = first_day(settings, seed)
    for hospital in demo_plan(0).hospitals:
        bring_in(settings, hospital.id, hospital.name, patients, seed, today)


def first_day(settings: Settings, seed: int) -> date:
    """The day for which this seed's patients were first made: made again tomorrow, they must not all have moved by a day."""
    path = settings.state / "demo" / f"seed-{seed}.day"
    try:
        return date.fromisoformat(path.read_text().strip())
    except (FileNotFoundError, ValueError):
        today = system_clock().date()
    try:
        path.write_text(f"{today.isoformat()}\n")
    except OSError as refused:
        raise Unavailable(
            f"{path} cannot be written: {refused.strerror}.", hint="Start a trust with `cloister up`, or set CLOISTER_STATE."
        ) from refused
    return today


def bring_in(settings: Settings, hospital: str, name: str, patients: int, seed: int, today: date) -> None:
    """One hospital's part of the patients into the running trust."""
    trust = find_trust(settings, hospital=hospital, program=None, secret_file=None)
    units = (_unit(number, portion) for number, portion in enumerate(portions(patients, seed, today=today, hospital=hospital)))
    share = sum(1 for _ in portions(patients, seed, today=today, hospital=hospital))
    run_and_tell(settings, trust, _typed(units), title=name, source=f"demo seed {seed}", size=lambda: max(1, share), workers=2, again=False)


def _typed(units: Iterator[Unit]) -> Iterator[Unit | Rejected]:
    yield from units


def _unit(number: int, portion: Portion) -> Unit:
    body = orjson.dumps(portion.bundle)
    # The register goes in before the patients who refer to it.
    return Unit(
        source=portion.name, body=body, numbers=tuple(range(1, portion.resources + 1)), stage=0 if number == 0 else 1, position=number
    )


def write(made: Iterator[Portion], folder: Path) -> int:
    """FOLDER/HOSPITAL/NAME.json; returns the number of resources."""
    count = 0
    try:
        for portion in made:
            place = folder / portion.hospital
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{portion.name}.json").write_bytes(orjson.dumps(portion.bundle))
            count += portion.resources
    except OSError as refused:
        raise Invalid(f"Cannot write to {folder}: {refused.strerror}.", hint="Give --to a folder that this user may write.") from refused
    return count


@app.command("sign-ins")
def sign_ins(as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False) -> None:
    """Who may sign in to the demo trust, with their passphrases."""
    known = read_sign_ins(read_settings())
    if as_json:
        print(json.dumps(known, ensure_ascii=False, indent=2))
        return
    print(f"Sign in at {known.get('base', '')}\n")
    for person in known.get("people", []):
        where = ", ".join(str(ward) for ward in person.get("wards") or []) or person.get("hospital") or "the whole trust"
        print(f"  {person.get('sign_in', ''):<18} {person.get('passphrase', ''):<38} {person.get('role', ''):<20} {where}")
        if "one_time_codes" in person:
            print(f"  {'':<18} one-time codes: {person['one_time_codes']} (needed from home; 127.77.0.1 counts as that)")
    print("\nPrograms, for scripts: cloister demo sign-ins --json")
