"""`cloister licence`: how many sessions of an application may be at once, how many were, and how many there will be.

An application without a pool needs no licence. Every change is audited before it is made.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

import typer

from cloister.assemble import controllers_word
from cloister.base.clock import iso, system_clock
from cloister.base.errors import Invalid, NotFound
from cloister.base.settings import Settings, read_settings
from cloister.cli.database import owner
from cloister.farm import EstateStore, licence_forecast, licences

app = typer.Typer(help="Licences of published applications.", no_args_is_help=True, rich_markup_mode=None)

ROLES: Final = ("doctor", "nurse", "access-officer", "certificate-officer", "it-operator", "program")
HISTORY: Final = """
    select date_trunc($2, at) as at, max(used) as used, max(reserve) as reserve, max(grace) as grace, max(waiting) as waiting,
           max(seats) as seats
      from estate.licence_usage where application = $1 and at >= $3 group by 1 order by 1 limit 5000"""
SAMPLES: Final = "select at, used, seats from estate.licence_usage where application = $1 order by at limit 200000"
BAR: Final = 40

Application = Annotated[str, typer.Argument(help="Its id, such as 'record'.")]


@app.command("list")
def list_pools() -> None:
    """Every pool: what is in use, what is kept for emergencies, and whether it is over its count."""
    asyncio.run(_list(read_settings()))


async def _list(settings: Settings) -> None:
    async with owner(settings) as connection:
        pools = (await EstateStore(connection).snapshot(now=system_clock())).pools
    for name, one in pools.items():
        pool, used = one.pool, one.used
        print(f"{name}  {used.used:,} of {pool.seats:,} in use")
        if pool.reserve:
            print(f"    reserve   {used.reserve:,} of {pool.reserve:,}, for {', '.join(pool.reserved_for) or 'nobody yet'}")
        if pool.grace:
            until = "not used yet" if pool.grace_since is None else f"until {iso(pool.grace_since + timedelta(days=pool.grace_days))}"
            print(f"    grace     {used.grace:,} of {pool.grace:,} beyond the licence, {pool.grace_days} days, {until}")
        if used.retired:
            print(f"    over      {used.retired:,} sessions hold licences that are no more; they keep them until they end")
        if pool.outage:
            print(f"    outage    each broker keeps up to {pool.outage:,}; {used.kept:,} are kept now")
    print(f"{len(pools):,} pools; every other application needs no licence")


@app.command("set")
def set_pool(
    application: Application,
    seats: Annotated[int, typer.Argument(help="How many sessions may be at once.")],
    reserve: Annotated[int, typer.Option(help="How many of them are for emergencies only.")] = 0,
    reserved_for: Annotated[
        list[str] | None, typer.Option("--for", help="Who may use the reserve: a role, or a network of terminals such as 10.20.0.0/16.")
    ] = None,
    grace: Annotated[int, typer.Option(help="How many more than licensed may be at once for a while, before the stop is hard.")] = 0,
    grace_days: Annotated[int, typer.Option(help="For how long, from the first that is over.")] = 0,
    outage: Annotated[int, typer.Option(help="How many each broker keeps, so that it can start sessions while the database is away.")] = 0,
) -> None:
    """Set an application's licences, in place of what was set; its grace begins anew."""
    for entry in reserved_for or ():
        _check_reserved(entry)
    pool = licences.checked(
        licences.Pool(
            application=application, seats=seats, reserve=reserve, grace=grace, grace_days=grace_days,
            reserved_for=tuple(reserved_for or ()), outage=outage,
        )
    )  # fmt: skip
    asyncio.run(_set(read_settings(), pool))
    print(f"{application}: {seats:,} licences" + (f", {reserve:,} of them in reserve" if reserve else ""))


def _check_reserved(entry: str) -> None:
    if entry in ROLES:
        return
    try:
        ipaddress.ip_network(entry, strict=False)
    except ValueError:
        raise Invalid(f"'{entry[:60]}' is no role and no network.", hint=f"A role ({', '.join(ROLES)}), or such as 10.20.0.0/16.") from None


async def _set(settings: Settings, pool: licences.Pool) -> None:
    async with owner(settings, writing=True) as connection:
        store = EstateStore(connection)
        _known(await store.applications(), pool.application)
        why = f"{pool.seats} seats, {pool.reserve} reserve, {pool.grace} grace for {pool.grace_days} days, {pool.outage} for an outage"
        await _audited(settings, pool.application, why)
        await store.set_pool(pool)


@app.command()
def remove(application: Application) -> None:
    """From now on this application needs no licence. Its history stays."""
    asyncio.run(_remove(read_settings(), application))
    print(f"{application}: no licences are counted any more")


async def _remove(settings: Settings, application: str) -> None:
    async with owner(settings, writing=True) as connection:
        store = EstateStore(connection)
        _known(await store.applications(), application)
        await _audited(settings, application, "removed")
        await store.drop_pool(application)


async def _audited(settings: Settings, application: str, why: str) -> None:
    """Put the change on record; raises Unavailable when that cannot be done, and then nothing is changed."""
    entry = {"action": "set-licences", "kind": "farm", "object": f"application/{application}"[:200], "reason": why[:200]}
    await controllers_word(settings, [{**entry, "actor": f"account {os.geteuid()}"}])


def _known(applications: Sequence[Any], wanted: str) -> None:
    if wanted not in [one.id for one in applications]:
        known = ", ".join(one.id for one in applications[:20])
        raise NotFound(f"There is no application '{wanted[:60]}'.", hint=f"There are: {known}.")


@app.command()
def history(
    application: Application,
    days: Annotated[int, typer.Option(min=1, max=400)] = 14,
    hours: Annotated[bool, typer.Option("--hours", help="Each hour, not each day.")] = False,
) -> None:
    """The most that were in use, by day or hour (UTC), sampled by the brokers every five seconds."""
    rows = asyncio.run(_rows(read_settings(), HISTORY, application, "hour" if hours else "day", system_clock() - timedelta(days=days)))
    for row in rows:
        bar = "#" * round(BAR * min(1.0, row["used"] / max(1, row["seats"])))
        more = [f"{row[name]:,} {name}" for name in ("reserve", "grace", "waiting") if row[name]]
        at = f"{row['at']:%Y-%m-%d %H:%M}" if hours else f"{row['at']:%Y-%m-%d %a}"
        print(f"{at}  {row['used']:>7,} of {row['seats']:,}  {bar:<{BAR}}  {', '.join(more)}".rstrip())
    print(f"{len(rows):,} {'hours' if hours else 'days'} with samples")


@app.command("forecast")
def show_forecast(application: Application) -> None:
    """When the licences will be short, by the same hours of the weeks before and their growth."""
    rows = asyncio.run(_rows(read_settings(), SAMPLES, application))
    seats = rows[-1]["seats"] if rows else 0
    found = licence_forecast.forecast([(row["at"], row["used"]) for row in rows], seats, now=system_clock())
    print(f"in the next four weeks at most {found.peak:,} (give or take {found.margin:,}) of {seats:,}, on {_when(found.at)}")
    print(f"from {found.weeks} weeks of history; growth {found.growth:+.1%} a week")
    if found.full is not None:
        print(f"all licences are expected to be in use on {_when(found.full)}")
    elif found.perhaps_full is not None:
        print(f"all licences may be in use on {_when(found.perhaps_full)}, if it is as wrong as it was for one hour in ten of last week")
    else:
        print("the licences suffice, by this reckoning")


def _when(moment: datetime) -> str:
    return f"{moment:%A %Y-%m-%d %H:00} UTC"


async def _rows(settings: Settings, sql: str, application: str, *arguments: Any) -> list[Any]:
    async with owner(settings) as connection:
        _known(await EstateStore(connection).applications(), application)
        return list(await connection.fetch(sql, application, *arguments))
