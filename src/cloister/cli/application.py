"""`cloister application`: which programs are published, to which roles, on which servers, and what may pass. docs/applications.md.

Every change is audited before it is made. A program that runs goes on as it was started.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from collections.abc import Callable
from typing import Annotated, Any, Final, NamedTuple, get_type_hints

import typer

from cloister.base.clock import iso
from cloister.base.errors import Invalid, NotFound
from cloister.base.settings import Settings, read_settings
from cloister.cli.database import owner
from cloister.cli.operating import operate
from cloister.cli.program import audited
from cloister.identity import Role
from cloister.server import programs

app = typer.Typer(help="Programs published beside the record.", no_args_is_help=True, rich_markup_mode=None)

ROLES: Final = frozenset(role.value for role in Role)
DIRECTIONS: Final = ("in", "out")
NONE: Final = "none"
MIB: Final = 1024 * 1024
ID: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
ALL: Final = """
    select a.id, a.name, a.kind, a.settings, a.sessions_max, a.each_max,
           array(select g.id from estate.delivery_group g where a.id = any (g.applications) order by g.id) as groups,
           (select count(*) from estate.program_run r where r.application = a.id) as runs
      from estate.application a where a.kind <> 'record' and ($1::text is null or a.id = $1) order by a.id limit 2000"""
RUNNING: Final = """
    select r.run, r.application, coalesce(p.sign_in, s.person) as who, s.server, s.state, r.started
      from estate.program_run r join estate.session s on s.id = r.session left join trust.person p on p.id = s.person
     where s.state <> 'ended' and ($1 = '' or r.application = $1) order by r.started limit 5000"""
WRITE: Final = """
    insert into estate.application (id, name, kind, settings, sessions_max, each_max) values ($1, $2, $3, $4, $5, $6)
    on conflict (id) do update set name = excluded.name, kind = excluded.kind, settings = excluded.settings,
        sessions_max = excluded.sessions_max, each_max = excluded.each_max where estate.application.kind <> 'record' returning id"""
UNPUBLISH: Final = "update estate.delivery_group set applications = array_remove(applications, $1) where $1 = any (applications)"
PUBLISH: Final = "update estate.delivery_group set applications = array_append(applications, $1) where id = $2 returning id"
REMOVE: Final = "delete from estate.application where id = $1 and kind <> 'record' returning id"


Application = Annotated[str, typer.Argument(help="Its short name, such as 'editor'.")]
Command = Annotated[list[str] | None, typer.Argument(help="What is run on the server, after `--`.")]
Name = Annotated[str | None, typer.Option(help="What people are shown.")]
Roles = Annotated[list[str] | None, typer.Option("--role", help="A role that may start it; several are possible.")]
Groups = Annotated[list[str] | None, typer.Option("--group", help="A delivery group whose servers publish it; default unless named.")]
Storage = Annotated[str | None, typer.Option(help="A folder of encrypted folders: those of the person's zones are mounted. Or none.")]
Reads = Annotated[list[str] | None, typer.Option(help="A further folder of the server that it sees, read-only. Or none.")]
Clipboard = Annotated[list[str] | None, typer.Option(help="'in' (to the program), 'out' (from it), both, or 'none'.")]
Files = Annotated[list[str] | None, typer.Option(help="'in' (to the program), 'out' (from it), both, or 'none'.")]
FileMib = Annotated[int | None, typer.Option(help="MiB that one file which passes may have; at most 512, as unless named.")]
FileKind = Annotated[list[str] | None, typer.Option(help="An ending of names that may pass, such as pdf; several are possible. Or any.")]
Reach = Annotated[list[str] | None, typer.Option(help="HOST:PORT that it may speak to by TCP; nothing else. Or none.")]
Memory = Annotated[int | None, typer.Option(help="MiB that one run may use, with what it writes outside encrypted folders; usually 2048.")]
Processes = Annotated[int | None, typer.Option(help="Processes and threads of one run; 256 unless named.")]
Linger = Annotated[int | None, typer.Option(help="Seconds until a run that nobody looks at ends; 0, as unless named: with its session.")]
AtOnce = Annotated[int | None, typer.Option(help="Runs at once in the whole trust; 0, as unless named, for no bound.")]
Each = Annotated[int | None, typer.Option(help="Runs at once of one person; 1 unless named.")]
Server = Annotated[str | None, typer.Option(help="kind windows: HOST or HOST:PORT of the Windows server.")]
Program = Annotated[str | None, typer.Option(help="kind windows: the RemoteApp, such as '||WINWORD'; none for the whole desktop.")]
Certificate = Annotated[str | None, typer.Option(help="kind windows: SHA-256 of its certificate, if no authority signed it. Or none.")]
Security = Annotated[str | None, typer.Option(help="kind windows: nla or tls alone; unless named, the best that both sides know.")]


class Wanted(NamedTuple):
    """What was named on the command line; None for what was not."""

    command: Command = None
    name: Name = None
    role: Roles = None
    group: Groups = None
    storage: Storage = None
    reads: Reads = None
    clipboard: Clipboard = None
    files: Files = None
    file_mib: FileMib = None
    file_kind: FileKind = None
    reach: Reach = None
    memory: Memory = None
    processes: Processes = None
    linger: Linger = None
    at_once: AtOnce = None
    each: Each = None
    server: Server = None
    program: Program = None
    certificate: Certificate = None
    security: Security = None


def naming(act: Callable[..., None]) -> Callable[..., None]:
    """A command with every option of `Wanted` beside its own; `act` is given them as one."""
    own = [one for one in inspect.signature(act, eval_str=True).parameters.values() if one.name != "wanted"]
    options = get_type_hints(Wanted, include_extras=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    asked = [*(one.replace(kind=keyword) for one in own)]
    asked += [inspect.Parameter(name, keyword, default=None, annotation=hint) for name, hint in options.items()]

    def command(**given: Any) -> None:
        act(**{one.name: given[one.name] for one in own}, wanted=Wanted(**{name: given[name] for name in options}))

    command.__name__, command.__doc__ = act.__name__, act.__doc__
    command.__annotations__ = {one.name: one.annotation for one in asked}
    vars(command)["__signature__"] = inspect.Signature(asked)
    return command


@app.command()
@naming
def add(
    application: Application,
    wanted: Wanted,
    kind: Annotated[
        programs.ProgramKind, typer.Option(help="One window, a whole desktop, or a program of a Windows server.")
    ] = programs.ProgramKind.WINDOW,
) -> None:
    """Publish a program, or write it anew."""
    if ID.fullmatch(application) is None or application == "record":
        raise Invalid("This is no name for an application.", hint="Use small letters, digits and dashes; 'record' is taken.")
    groups = wanted.group or ["default"]
    values = _values(application, kind, wanted, None)
    asyncio.run(_publish(read_settings(), application, groups, values))
    print(f"published {application} on {', '.join(groups)} for {', '.join(json.loads(values[2])['roles'])}")


@app.command()
@naming
def change(application: Application, wanted: Wanted) -> None:
    """Write anew what is named, and leave the rest. It counts for runs that start from then on."""
    if not any(one is not None for one in wanted):
        raise Invalid("Nothing was named to change.", hint="See `cloister application change --help`.")
    row = asyncio.run(_row(read_settings(), application))
    values = _values(application, programs.ProgramKind(row["kind"]), wanted, row)
    asyncio.run(_publish(read_settings(), application, wanted.group or list(row["groups"]), values))
    print(f"changed {application}")


@app.command()
def withdraw(application: Application) -> None:
    """Take it off every server's list and keep what is written of it; `change --group` publishes it again. What runs goes on."""
    row = asyncio.run(_row(read_settings(), application))
    values = (row["name"], row["kind"], row["settings"], row["sessions_max"], row["each_max"])
    asyncio.run(_publish(read_settings(), application, [], values, action="withdraw-application"))
    print(f"withdrew {application}; {row['runs']} run")


def _values(application: str, kind: programs.ProgramKind, wanted: Wanted, row: Any) -> tuple[Any, ...]:
    """(name, kind, settings, sessions_max, each_max): what is written now, from what was named and what stood there."""
    before = json.loads(row["settings"]) if row is not None else {}
    roles = wanted.role if wanted.role is not None else list(before.get("roles", []))
    unknown = sorted(set(roles) - ROLES)
    if unknown or not roles:
        text = f"There is no role '{unknown[0]}'." if unknown else "Nobody could start this."
        raise Invalid(text, hint=f"--role, one of: {', '.join(sorted(ROLES))}")
    for number, what in ((wanted.at_once, "--at-once"), (wanted.each, "--each")):
        if number is not None and number < (what == "--each"):
            raise Invalid(f"{number} is too few for {what}.", hint="--each is 1 or more; --at-once 0 means no bound.")
    settings = _settings(wanted, before) | {"roles": roles}
    programs.read_settings(kind, settings)
    at_once = wanted.at_once if wanted.at_once is not None else (row["sessions_max"] if row is not None else None)
    each = wanted.each if wanted.each is not None else (row["each_max"] if row is not None else 1)
    name = wanted.name or (row["name"] if row is not None else application)
    return name, str(kind), json.dumps(settings), at_once or None, each


def _settings(wanted: Wanted, before: dict[str, Any]) -> dict[str, Any]:
    found = {name: value for name, value in before.items() if name != "rules"}
    rules, folders = dict(before.get("rules", {})), dict(before.get("folders", {}))
    for ways, what in ((wanted.clipboard, "clipboard"), (wanted.files, "transfer")):
        if ways is not None:
            rules |= _ways(ways, what)
    if wanted.file_mib is not None:
        rules["file_bytes_max"] = wanted.file_mib * MIB
    if wanted.file_kind is not None:
        rules["file_kinds"] = [one.lower().lstrip(".") for one in wanted.file_kind if one != "any"]
    if wanted.storage is not None:
        folders["storage"] = _whole(wanted.storage)
    if wanted.reads is not None:
        folders["reads"] = [_whole(one) for one in wanted.reads if one != NONE]
    if wanted.reach is not None:
        found["reaches"] = [one for one in wanted.reach if one != NONE]
    numbers = {"memory_bytes": wanted.memory and wanted.memory * MIB, "processes": wanted.processes, "linger_seconds": wanted.linger}
    found |= {name: value for name, value in numbers.items() if value is not None}
    if wanted.command is not None:
        found["command"] = wanted.command
    remote = _remote(wanted, dict(before.get("remote", {})))
    return {**found, "rules": rules, "folders": folders, **({"remote": remote} if remote else {})}


def _ways(named: list[str], what: str) -> dict[str, bool]:
    for one in named:
        if one not in (*DIRECTIONS, NONE):
            raise Invalid(f"'{one}' is no direction.", hint="Write in, out or none; for both, the option twice.")
    return {f"{what}_{direction}": direction in named and NONE not in named for direction in DIRECTIONS}


def _whole(path: str) -> str:
    if path in (NONE, ""):
        return ""
    if not path.startswith("/"):
        raise Invalid(f"'{path}' must be a whole path.", hint="Begin it with /: it is looked for on each server.")
    return path


def _remote(wanted: Wanted, remote: dict[str, str]) -> dict[str, str]:
    if wanted.server:
        server = wanted.server
        host, colon, port = server.rpartition(":") if not server.endswith("]") and ":" in server else (server, "", "")
        remote |= {"host": host.strip("[]") if colon else server.strip("[]"), "port": port or "3389"}
        if not remote["port"].isdigit() or not 0 < int(remote["port"]) < 65_536:
            raise Invalid(f"'{server[:80]}' is no server.", hint="Write HOST or HOST:PORT.")
    for name, value in (("program", wanted.program), ("security", wanted.security)):
        if value is not None:
            remote[name] = "" if value == NONE else value
    if wanted.certificate is not None:
        plain = "" if wanted.certificate == NONE else wanted.certificate.replace(":", "").lower()
        if plain and re.fullmatch("[0-9a-f]{64}", plain) is None:
            raise Invalid("This is no SHA-256 fingerprint.", hint="Write 64 hexadecimal digits, with or without colons.")
        remote["certificate"] = ":".join(plain[at : at + 2] for at in range(0, len(plain), 2))
    return {name: value for name, value in remote.items() if value}


async def _publish(
    settings: Settings, application: str, groups: list[str], values: tuple[Any, ...], action: str = "publish-application"
) -> None:
    async with owner(settings, writing=True) as connection:
        await audited(settings, action, application, f"{values[0]}: {values[2]}"[:200])
        async with connection.transaction():
            if await connection.fetchval(WRITE, application, *values) is None:
                raise Invalid("The record itself is not written this way.")
            await connection.execute(UNPUBLISH, application)
            for group in groups:
                if await connection.fetchval(PUBLISH, application, group) is None:
                    raise NotFound(f"There is no delivery group '{group[:60]}'.", hint="Name one that is there; 'default' always is.")


@app.command("list")
def list_applications() -> None:
    """What is published besides the record."""
    rows = asyncio.run(_rows(read_settings(), None))
    for row in rows:
        roles = ", ".join(json.loads(row["settings"]).get("roles", []))
        print(
            f"{row['id']:<20} {row['kind']:<8} {row['name']:<28} {', '.join(row['groups']) or 'no server'}  for {roles}; {row['runs']} run"
        )
    print(f"{len(rows):,} programs")


@app.command()
def show(application: Annotated[str, typer.Argument()]) -> None:
    """Everything that is written of one."""
    row = asyncio.run(_row(read_settings(), application))
    settings = json.loads(row["settings"])
    known = programs.read_settings(programs.ProgramKind(row["kind"]), settings)
    rules = known.rules
    ways = {"clipboard": (rules.clipboard_in, rules.clipboard_out), "files": (rules.transfer_in, rules.transfer_out)}
    told = {
        "name": row["name"], "kind": row["kind"], "servers of": ", ".join(row["groups"]) or "no group", "roles": ", ".join(known.roles),
        "command": programs.as_text(known.command), **{f"windows {key}": value for key, value in known.remote.items()},
        "storage": known.folders.storage or "none", "also reads": ", ".join(known.folders.reads),
        **{what: " and ".join(d for d, yes in zip(DIRECTIONS, way, strict=True) if yes) or "neither way" for what, way in ways.items()},
        "files at most": f"{rules.file_bytes_max // MIB} MiB" + (f", only {', '.join(rules.file_kinds)}" if rules.file_kinds else ""),
        "unseen, ends after": f"{known.linger_seconds} s" if known.linger_seconds else "",
        "network": ", ".join(known.reaches) or "none", "memory": f"{known.memory_bytes // MIB} MiB", "processes": known.processes,
        "at once": row["sessions_max"] or "no bound", "each": row["each_max"], "running": row["runs"],
    }  # fmt: skip
    for key, value in told.items():
        if value != "":
            print(f"{key:<20} {value}")


@app.command()
def remove(application: Annotated[str, typer.Argument()]) -> None:
    """Publish it no longer. What runs goes on until it is ended."""
    asyncio.run(_remove(read_settings(), application))
    print(f"removed {application}")


@app.command()
def running(application: Annotated[str, typer.Argument(help="Of this application alone.")] = "") -> None:
    """What runs now: for whom, on which server, since when."""
    rows = asyncio.run(_runs(read_settings(), application))
    for row in rows:
        print(f"{row['run']}  {row['application']:<20} {row['who']:<22} {row['server']:<16} {row['state']:<12} {iso(row['started'])}")
    print(f"{len(rows):,} run")


@app.command()
def end(run: Annotated[str, typer.Argument(help="Its id, as `cloister application running` shows it.")]) -> None:
    """End one run now; its person's page says that an operator did. What was saved in an encrypted folder is kept."""
    done = operate("end_program", run=run)
    print(f"ended {done['application']} of {done['who']}")


async def _runs(settings: Settings, application: str) -> list[Any]:
    async with owner(settings) as connection:
        return list(await connection.fetch(RUNNING, application))


async def _row(settings: Settings, application: str) -> Any:
    rows = await _rows(settings, application)
    if not rows:
        raise NotFound(f"There is no application '{application[:60]}'.", hint="See `cloister application list`.")
    return rows[0]


async def _rows(settings: Settings, application: str | None) -> list[Any]:
    async with owner(settings) as connection:
        return list(await connection.fetch(ALL, application))


async def _remove(settings: Settings, application: str) -> None:
    async with owner(settings, writing=True) as connection:
        await audited(settings, "remove-application", application, "removed")
        async with connection.transaction():
            await connection.execute(UNPUBLISH, application)
            if await connection.fetchval(REMOVE, application) is None:
                raise NotFound(f"There is no application '{application[:60]}'.", hint="See `cloister application list`.")
