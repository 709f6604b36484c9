"""`cloister team`: teams, rotas and a zone's keys from the command line, in an access officer's own session. docs/teams.md.

It asks that officer's session for the same acts as the pages do; nothing is decided or signed here.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

from cloister.base.errors import Conflict, Invalid, NotFound
from cloister.base.settings import read_settings
from cloister.cli.own_session import OwnSession, signed_in

app = typer.Typer(help="Teams and rotas, and a zone's keys (access officers).", no_args_is_help=True, rich_markup_mode=None)
HOME: Final = "/offices/teams"
ROTAS: Final = "/offices/rotas"
KEYS: Final = "/offices/keys"
FILE_BYTES_MAX: Final = 200_000

As = Annotated[str, typer.Option("--as", help="Who you are: your sign-in name.", envvar="CLOISTER_SIGN_IN")]
Team = Annotated[str, typer.Argument(help="The team's name or id.")]
Zone = Annotated[str, typer.Argument(help="The zone's id.")]
From = Annotated[str, typer.Option("--from", help="ISO 8601, as 2026-11-22T21:00.")]
Until = Annotated[str, typer.Option("--until", help="ISO 8601.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it stands in what is signed.")]


def _session(who: str) -> OwnSession:
    return signed_in(read_settings(), who)


def _id(session: OwnSession, team: str) -> str:
    """The id of the team of this name."""
    found = [one["id"] for one in session.get(HOME)["teams"] if team in (one["id"], one["name"])]
    if not found:
        raise NotFound(f"There is no team '{team}'.", hint="cloister team list", reason="team")
    if len(found) > 1:
        raise Conflict(f"Several teams are called '{team}'.", hint="Give the id that `cloister team list` shows.", reason="team")
    return str(found[0])


@app.command("list")
def list_teams(who: As) -> None:
    """Teams, and rotas that wait for a signature."""
    found = _session(who).get(HOME)
    for one in found["teams"]:
        print(f"{one['id']}  {one['members']:>4} turns  {one['name']}")
    for one in found["waiting"]:
        print(f"{one['id']}  proposal, {one['lines']} lines, from {one['source']}")


@app.command()
def create(name: Annotated[str, typer.Argument(help="The team's name.")], who: As, hospital: Annotated[str, typer.Option()]) -> None:
    """A new team, kept by every access officer."""
    print(_team_of(_session(who).post(HOME, {"name": name, "hospital": hospital})))


@app.command()
def show(team: Team, who: As, day: Annotated[str, typer.Option(help="A day of the week to show.")] = "") -> None:
    """A week of a team's rota, and what it opens."""
    session = _session(who)
    found = session.get(f"{HOME}/{_id(session, team)}" + (f"?day={quote(day)}" if day else ""))
    print(f"{found['team']['name']}, generation {found['team']['generation']}")
    for turn in found["team"]["turns"]:
        print(
            f"  {turn['not_before'][:16]}  {turn['live_until'][:16]}  {turn['name']}{'  ended' if turn['revoked'] else ''}  {turn['hash']}"
        )
    for zone, name, right in found["team"]["zones"]:
        print(f"  opens {zone} ({name}), {right}")


@app.command()
def add(
    team: Team, person: Annotated[str, typer.Argument(help="Sign-in name.")], who: As, start: From, until: Until, reason: Reason = "Rota"
) -> None:
    """Sign one turn; it opens and closes by itself."""
    session = _session(who)
    session.post(f"{HOME}/{_id(session, team)}/turns", {"person": person, "from": start, "until": until, "reason": reason})


@app.command()
def end(team: Team, turn: Annotated[str, typer.Argument(help="The turn's hash, as `show` prints it.")], who: As, reason: Reason) -> None:
    """End one turn before its time."""
    session = _session(who)
    place = f"{HOME}/{_id(session, team)}"
    person = next((one["person"] for one in session.get(place)["team"]["turns"] if one["hash"] == turn), "")
    session.post(f"{place}/end", {"turn": turn, "person": person, "reason": reason})


@app.command("open")
def open_zone(
    team: Team, zone: Zone, who: As, reason: Reason, right: Annotated[str, typer.Option(help="read or write")] = "read",
    days: Annotated[int, typer.Option(help="For how long.")] = 365,
) -> None:  # fmt: skip
    """Open a zone to a team: one grant for all of its turns."""
    session = _session(who)
    session.post(f"{HOME}/{_id(session, team)}/zones", {"zone": zone, "right": right, "days": str(days), "reason": reason})


@app.command()
def leave(team: Team, person: Annotated[str, typer.Argument(help="The person's id.")], who: As, reason: Reason) -> None:
    """Somebody must lose the team's key: new keys for the team and every zone it opens."""
    session = _session(who)
    session.post(f"{HOME}/{_id(session, team)}/leave", {"person": person, "reason": reason})


@app.command("import")
def import_rota(
    file: Annotated[Path, typer.Argument(help="A CSV with person,team,from,until; or a directory's LDIF with --from and --until.")],
    who: As,
    start: From = "",
    until: Until = "",
) -> None:
    """Bring a rota from elsewhere as a proposal; `sign` makes it hold."""
    try:
        raw = file.read_bytes()[: FILE_BYTES_MAX + 1]
        text = raw.decode()
    except (OSError, UnicodeDecodeError) as fault:
        raise Invalid(f"'{file}' cannot be read as text.", hint="Save it as UTF-8.", reason="file") from fault
    body: dict[str, Any] = {"kind": "directory" if file.suffix.lower() == ".ldif" else "table", "table": text, "source": file.name}
    number = str(_session(who).post(ROTAS, {**body, "from": start, "until": until})["next"]).rsplit("/", 1)[-1]
    print(number)


@app.command()
def sign(
    proposal: Annotated[str, typer.Argument(help="As `list` shows it.")], who: As, yes: Annotated[bool, typer.Option()] = False
) -> None:
    """Sign every line of a proposal that has no remark."""
    session = _session(who)
    lines = session.get(f"{ROTAS}/{proposal}")["lines"]
    for one in lines:
        print(f"{one['number']:>4}  {one['person']:<24} {one['team']:<32} {one['from'][:16]} {one['until'][:16]}  {one['problem']}")
    right = [str(one["number"]) for one in lines if not one["problem"]]
    if not yes and not typer.confirm(f"Sign {len(right)} of {len(lines)} lines?", err=True):
        sys.exit(1)
    session.post(f"{ROTAS}/{proposal}", {"line": ",".join(right), "act": "sign"})


@app.command()
def keys(
    zone: Zone,
    who: As,
    rotate: Annotated[bool, typer.Option("--rotate", help="Make a new epoch for everybody who stays.")] = False,
    rewrap: Annotated[bool, typer.Option("--rewrap", help="Rewrap now what is left.")] = False,
) -> None:
    """A zone's keys: its epoch, and how many dossier keys are under an older one."""
    session = _session(who)
    for wanted, act in ((rotate, "rotate"), (rewrap, "rewrap")):
        if wanted:
            session.post(f"{KEYS}/{zone}/{act}", {})
    found = session.get(f"{KEYS}/{zone}")
    going = ", going on in your session" if found["running"] else ""
    print(f"{found['name']}: epoch {found['epoch']}; {found['stale']:,} of {found['total']:,} dossier keys are left{going}")


def _team_of(answer: dict[str, Any]) -> str:
    return str(answer["next"]).partition("?")[0].rsplit("/", 1)[-1]
