"""`cloister server drain|undrain|maintenance|window`: take servers out of service and give them back, by the farm's upkeep."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

import typer

from cloister.base.errors import Invalid
from cloister.cli.operating import operate

DURATION: Final = re.compile(r"(\d{1,6})([smhd])")
SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
Group = Annotated[str, typer.Option(help="A delivery group: its servers in turn.")]
Server = Annotated[str, typer.Argument(help="Its name, as `server list` shows it.")]


def seconds_until(text: str, *, now: datetime) -> int | None:
    """'30m', '2h', or a time of day such as 22:30, the next one; nothing is no deadline."""
    if not text:
        return None
    if found := DURATION.fullmatch(text):
        return int(found[1]) * SECONDS[found[2]]
    try:
        hour, minute = (int(part) for part in text.split(":"))
        at = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    except ValueError:
        raise Invalid(f"'{text[:40]}' is no deadline.", hint="Write it as 30m, 2h or 22:30.") from None
    return int(((at if at > now else at + timedelta(days=1)) - now).total_seconds())


def drain(
    server: Annotated[str, typer.Argument(help="Its name; or use --group.")] = "",
    group: Group = "",
    deadline: Annotated[str, typer.Option(help="When people must be off it: 30m, 2h or 22:30. Without one they go when they go.")] = "",
    message: Annotated[str, typer.Option(help="What people on it are told, after when it closes.")] = "",
    percent: Annotated[int, typer.Option(min=1, max=100, help="Of a group: how many of its servers may be out at once.")] = 10,
    restart: Annotated[bool, typer.Option("--restart", help="Of a group: start each anew and go on by itself when it is back.")] = False,
) -> None:
    """Place nothing more on a server, or on a group's servers in turn, and end its sessions gracefully at the deadline."""
    seconds = seconds_until(deadline, now=datetime.now().astimezone())
    if bool(server) == bool(group):
        raise Invalid("This needs a server, or --group.", hint="cloister server drain SERVER, or --group GROUP.")
    if group:
        begun = operate("drain", group=group, deadline=seconds, message=message, percent=percent, restart=restart)
        print(f"{begun['servers']} servers of {group}, at most {percent} % out at once; follow it with `cloister server maintenance`")
        return
    answer = operate("drain", server=server, deadline=seconds, message=message)
    until = f", until {answer['deadline']}" if answer["deadline"] else ""
    print(f"{server} takes nobody new; {answer['sessions']} sessions are on it{until}")


def undrain(server: Annotated[str, typer.Argument(help="Its name; or use --group.")] = "", group: Group = "") -> None:
    """Give a server back, whatever it was taken out for; or stop the maintenance of a group."""
    if bool(server) == bool(group):
        raise Invalid("This needs a server, or --group.", hint="cloister server undrain SERVER, or --group GROUP.")
    words = {"server": server} if server else {"group": group}
    print(f"{operate('undrain', **words)['servers']} servers are given back")


def maintenance(ended: Annotated[bool, typer.Option("--all", help="Also what has ended.")] = False) -> None:
    """Which servers are kept empty and why, what goes on in which group, what is ill, and the windows."""
    found = operate("maintenance", ended=ended)
    for one in found["rollings"]:
        print(f"group {one['group']}: at most {one['percent']} % at once, by {one['by_whom']}{_ended(one)}: {_counts(one['turns'])}")
    for one in found["drains"]:
        until = f" until {one['deadline']}" if one["deadline"] else ""
        print(f"server {one['server']}: {one['state']}, {one['sessions']} sessions left{until}; {one['cause']}, by {one['by_whom']}")
    for one in found["ill"]:
        print(f"server {one['server']}: {one['why']} (since {one['since']})")
    for one in found["windows"]:
        when = one["on"] or ",".join(one["days"])
        at = f"{one['start'] // 60:02d}:{one['start'] % 60:02d}"
        print(f"window {one['id']}: group {one['group']}, {when} at {at} ({one['zone']}) for {one['minutes']} min, {one['percent']} %")
    if not any(found.values()):
        print("nothing is in maintenance")


def _ended(one: dict[str, Any]) -> str:
    return f", ended {one['ended']}" if one["ended"] else ""


def _counts(turns: dict[str, int]) -> str:
    return ", ".join(f"{count} {turn}" for turn, count in turns.items() if count)


def window(
    group: Annotated[str, typer.Option(help="A delivery group.")] = "",
    days: Annotated[str, typer.Option(help="Days of the week, such as mon,thu.")] = "",
    on: Annotated[str, typer.Option(help="Or one date: 2026-12-24.")] = "",
    start: Annotated[str, typer.Option(help="When it opens, such as 02:00.")] = "",
    minutes: Annotated[int, typer.Option(help="How long work may begin.")] = 120,
    zone: Annotated[str, typer.Option(help="Whose time that is.")] = "Europe/Paris",
    percent: Annotated[int, typer.Option(help="Of the group, out at once.")] = 10,
    deadline: Annotated[str, typer.Option(help="How long people have to finish.")] = "1h",
    message: Annotated[str, typer.Option(help="What people are told, after when it closes.")] = "",
    restart: Annotated[bool, typer.Option("--restart/--no-restart", help="Start each server anew, or leave it empty for a person.")] = True,
    drop: Annotated[str, typer.Option(help="Forget this window instead.")] = "",
) -> None:
    """Set a maintenance window of a group, or forget one."""
    if drop:
        operate("drop_window", window=drop)
        print(f"forgotten {drop}")
        return
    words = {
        "group": group, "days": [day for day in days.split(",") if day], "on": on or None, "start": start or None, "minutes": minutes,
        "zone": zone, "percent": percent, "deadline": seconds_until(deadline, now=datetime.now().astimezone()) or 0, "message": message,
        "restart": restart,
    }  # fmt: skip
    print(f"window {operate('set_window', **words)['window']} of group {group}")
