"""`cloister session`: who has a session where, what they are told, how long sessions last, and their end."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

import typer

from cloister.base.clock import iso
from cloister.base.errors import Invalid, NotFound, Unavailable
from cloister.base.settings import Settings, read_settings
from cloister.base.wire import Caller
from cloister.cli.database import owner
from cloister.cli.operating import operate
from cloister.cli.shadow import shadow

app = typer.Typer(help="Sessions of this trust.", no_args_is_help=True, rich_markup_mode=None)
policy = typer.Typer(help="How long sessions last, and whether their screen may be shown.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(policy, name="policy")
app.command()(shadow)

SESSIONS: Final = """
    select s.id, coalesce(p.sign_in, s.person) as who, s.role, s.label, s.server, s.slot, s.state, s.started
      from estate.session s left join trust.person p on p.id = s.person
     where s.state <> 'ended' or $1 order by s.started limit 5000"""

Person = Annotated[str, typer.Option(help="A sign-in name.")]
Ward = Annotated[str, typer.Option(help="A ward's id: everybody who works there.")]
Server = Annotated[str, typer.Option(help="A server's name.")]
Hospital = Annotated[str, typer.Option(help="A hospital's id.")]
Gateway = Annotated[str, typer.Option(help="A gateway's machine: everybody who came in by it.")]
Everybody = Annotated[bool, typer.Option("--all", help="Every session of the trust.")]


@app.command("list")
def list_sessions(every: Annotated[bool, typer.Option("--all", help="Also those that have ended.")] = False) -> None:
    """Live sessions, the oldest first."""
    asyncio.run(_list(read_settings(), every))


async def _list(settings: Settings, every: bool) -> None:
    async with owner(settings) as connection:
        rows = await connection.fetch(SESSIONS, every)
    for row in rows:
        slot = "-" if row["slot"] is None else row["slot"]
        place = f"{row['server']}:{slot}"
        text = f"{row['id']}  {row['state']:<12} {row['who']:<22} {row['role']:<20} {place}  {iso(row['started'])} {row['label']}"
        print(text.rstrip())
    print(f"{len(rows):,} sessions")


@app.command()
def show(search: Annotated[str, typer.Argument(help="A name, a sign-in name, a server or a session's id.")]) -> None:
    """The sessions of somebody, or of a server, with what is known of them."""
    found = operate("sessions", search=search, ended=True)
    for row in found:
        print(": ".join(word for word in (f"{row['id']}  {row['state']}", row["why"]) if word))
        print("    person    " + ", ".join(word for word in (f"{row['name']} ({row['sign_in']})", row["role"], row["hospital"]) if word))
        print(f"    server    {row['server']}:{'-' if row['slot'] is None else row['slot']}")
        if row["gateways"]:
            print(f"    came by   {row['gateways']}")
        print(f"    since     {row['started']}, last changed {row['changed']}")
    print(f"{len(found):,} sessions")


@app.command()
def why(
    whose: Annotated[str, typer.Argument(help="A session's id, or the sign-in name of a person or the id of a program.")],
) -> None:
    """Why a session is on its server, what runs beside it, and what was refused to them in the last 30 days."""
    found = operate("why_of", whose=whose)
    for one in found["sessions"]:
        print(f"{one['id']}  {one['state']}  {one['sign_in']}")
        for line in one["lines"]:
            print(f"    {line}")
    for row in found["refused"]:
        print(f"{row['at']}  refused '{row['application']}' ({row['reason']}): {row['text']}")
    if not found["sessions"]:
        print("no live session")


@app.command()
def end(
    session: Annotated[str, typer.Argument(help="Its id, as `session list` shows it.")] = "",
    person: Person = "",
    ward: Ward = "",
    server: Server = "",
    hospital: Hospital = "",
    gateway: Gateway = "",
    everybody: Everybody = False,
    why: Annotated[str, typer.Option(help="For the audit log.")] = "administrator",
) -> None:
    """End sessions now: what is typed is kept as drafts, the process is gone and its keys with it, within 5 seconds."""
    whose = _whose(everybody, session, person=person, ward=ward, server=server, hospital=hospital, gateway=gateway)
    try:
        done = operate("end", **whose, why=why)
    except Unavailable:
        asyncio.run(_end_here(read_settings(), whose, why))  # without a controller or a database, those of this machine
        return
    if session and not done["sessions"]:
        raise NotFound("There is no such session.", hint="cloister session list shows those that live.")
    print(f"ended {done['ended']:,} of {done['sessions']:,} sessions, {done['killed']:,} of them killed")
    if done["silent"]:
        raise Unavailable(f"These servers did not answer: {', '.join(done['silent'])}.", hint="See `cloister server list`.")


async def _end_here(settings: Settings, whose: dict[str, Any], why: str) -> None:
    """Through this machine's agent alone, which listens to root and to its own account, and tells the controller when it can."""
    if "all" not in whose and "sessions" not in whose:
        raise Unavailable("The controller does not answer.", hint="Without it, only a session's id or --all can be ended, on this machine.")
    agent = Caller(settings.socket("agent"), part="agent")
    try:
        done = await agent.call("end_many", sessions=whose.get("sessions"), reason=why)
    finally:
        agent.close()
    print(f"ended {done['ended']:,} sessions of this machine, {done['killed']:,} of them killed; the controller did not answer")


@app.command()
def message(
    text: Annotated[str, typer.Argument(help="What they are shown, at most 500 characters.")],
    french: Annotated[str, typer.Option("--fr", help="The same in French, for those who read French.")] = "",
    session: Annotated[str, typer.Option(help="A session's id.")] = "",
    person: Person = "",
    ward: Ward = "",
    server: Server = "",
    hospital: Hospital = "",
    gateway: Gateway = "",
    everybody: Everybody = False,
    urgent: Annotated[bool, typer.Option("--urgent", help="In front of the page, until it is closed.")] = False,
) -> None:
    """Tell people something at once, in the pages they have open; the rest sees it in the next page."""
    whose = _whose(everybody, session, person=person, ward=ward, server=server, hospital=hospital, gateway=gateway)
    done = operate("message", **whose, text={"en": text, "fr": french}, urgent=urgent)
    print(f"told {done['told']:,} of {done['sessions']:,} sessions; {done['shown']:,} show it now")


@app.command()
def prelaunch(person: Person = "", ward: Ward = "") -> None:
    """Start sessions before their people come: locked, without a key, and let go again after an hour."""
    if bool(person) == bool(ward):
        raise Invalid("Say whose sessions.", hint="One of --person and --ward.")
    done = operate("prelaunch", person=person, ward=ward)
    print(f"started {done['started']:,} sessions of {done['people']:,} people who had none")


@app.command()
def messages() -> None:
    """What was said, to how many sessions, and how many people have closed it."""
    for row in operate("messages"):
        text = row["text"].get("en") or row["text"].get("fr", "")
        print(f"{row['made']}  {row['scope']:<30} told {row['told']}/{row['sessions']}, seen {row['seen']}  {row['sender']}: {text}")


def _whose(everybody: bool, session: str, **others: str) -> dict[str, Any]:
    named = {"sessions": [session] if session else [], **others}
    found: dict[str, Any] = {name: value for name, value in named.items() if value} | ({"all": True} if everybody else {})
    if len(found) != 1:
        raise Invalid("Say whose sessions.", hint="One of: a session's id, --person, --ward, --server, --hospital, --gateway or --all.")
    return found


# --- policy ---------------------------------------------------------------------------------------------------

Role = Annotated[str, typer.Option(help="A role, such as nurse.")]
Group = Annotated[str, typer.Option(help="A delivery group.")]


@policy.command("list")
def list_policies() -> None:
    """Every row; a limit comes from the most exact row that names it (a role before a hospital before a group)."""
    for row in operate("policies"):
        place = " ".join(f"{name}={row[name]}" for name in ("hospital", "grp", "role") if row[name]) or "everybody"
        limits = " ".join(f"{name}={row[name]}" for name in LIMIT_NAMES if row[name] is not None)
        print(f"{place:<40} {limits}")


LIMIT_NAMES: Final = ("idle_lock_seconds", "away_seconds", "linger_seconds", "absolute_seconds", "shadow", "prelaunch")


@policy.command("set")
def set_policy(
    hospital: Hospital = "",
    group: Group = "",
    role: Role = "",
    idle: Annotated[int | None, typer.Option(help="Seconds without work until it locks.")] = None,
    away: Annotated[int | None, typer.Option(help="Seconds from closing its last page until its keys go; 0: by idleness only.")] = None,
    linger: Annotated[int | None, typer.Option(help="Seconds locked or left until it ends.")] = None,
    absolute: Annotated[int | None, typer.Option(help="Seconds from its start to its end; 0: no such limit.")] = None,
    shadow: Annotated[str | None, typer.Option(help="Whether its screen may be shown to somebody who asks: ask or never.")] = None,
    prelaunch: Annotated[bool | None, typer.Option("--prelaunch/--no-prelaunch", help="Start it before its person usually comes.")] = None,
) -> None:
    """Write one row, in place of what it said before. It counts for sessions that start from now on."""
    if shadow not in (None, "ask", "never"):
        raise Invalid("--shadow is ask or never.")
    limits = {"idle_lock_seconds": idle, "away_seconds": away, "linger_seconds": linger, "absolute_seconds": absolute}
    operate("set_policy", hospital=hospital, grp=group, role=role, **limits, shadow=shadow, prelaunch=prelaunch)
    list_policies()


@policy.command("forget")
def forget_policy(hospital: Hospital = "", group: Group = "", role: Role = "") -> None:
    """Remove one row."""
    if not operate("forget_policy", hospital=hospital, grp=group, role=role)["known"]:
        raise Invalid("There is no such row.", hint="See `cloister session policy list`.")
    list_policies()
