"""`cloister power`: which machines run, what is planned and why, and each group's policy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from cloister.base.errors import Invalid, NotFound
from cloister.cli.operating import operate

app = typer.Typer(help="Power of this trust's servers.", no_args_is_help=True, rich_markup_mode=None)
Machine = Annotated[str, typer.Argument(help="A server of the machines file.")]


@app.command()
def status() -> None:
    """Every machine that can be switched: its state, its sessions, and what failed."""
    machines = operate("power")["machines"]
    for one in machines:
        wish = f", wished {one['wish']}" if one["wish"] != "auto" else ""
        text = f"  {one['text']}" if one["text"] else ""
        boot = f", starts in {one['boot_seconds']:.0f} s" if one["boot_seconds"] else ""
        print(
            f"{one['server']:<24} {one['state']:<9} {one['group']:<14} {one['driver']:<12} {one['sessions']:>4} sessions{boot}{wish}{text}"
        )
    print(f"{len(machines):,} machines, {sum(one['state'] in ('on', 'booting', 'stopping') for one in machines):,} of them run")


@app.command()
def plan() -> None:
    """The newest plan of each group, with its reckoning, and the last steps with their reasons."""
    found = operate("power")
    for group, one in sorted(found["plans"].items()):
        print(
            f"{group}: wanted {one['wanted']} (soon {one['later']}), ready {one['ready']}, coming {one['coming']}, "
            f"emptying {one['emptying']}; {one['held']} sessions, {one['expected']:.0f} expected on ready servers"
            + (f"; SHORT of {one['short']}" if one["short"] else "")
        )
    for step in found["steps"]:
        print(f"    {step['at']}  {step['server']:<24} {step['action']:<10} {step['why']} {step['outcome']}".rstrip())
    if not found["plans"]:
        print("no group has a power policy: set one with `cloister power policy GROUP --file FILE`")


@app.command()
def on(server: Machine) -> None:
    """Start a machine and leave it on until `cloister power auto`."""
    operate("power_wish", server=server, wish="on")
    print(f"{server} is wanted on")


@app.command()
def off(server: Machine) -> None:
    """Empty a machine, stop it, and leave it off until `cloister power auto`."""
    operate("power_wish", server=server, wish="off")
    print(f"{server} is wanted off: it is emptied first")


@app.command()
def auto(server: Machine) -> None:
    """Leave a machine to the planner again."""
    operate("power_wish", server=server, wish="auto")
    print(f"{server} is left to the planner")


@app.command()
def policy(
    group: Annotated[str, typer.Argument(help="A group of the machines file; none shows all.")] = "",
    file: Annotated[Path | None, typer.Option(help="Set it from this JSON file; see docs/power.md.")] = None,
    drop: Annotated[bool, typer.Option("--drop", help="Forget it: the group is left alone.")] = False,
) -> None:
    """Show, set or forget the power policy of a group."""
    if file is not None or drop:
        if not group:
            raise Invalid("Whose policy?", hint="cloister power policy GROUP --file FILE")
        operate("set_power_policy", group=group, policy=None if drop else _read(file))
        print(f"{'forgotten' if drop else 'set'}: {group}")
        return
    for name, one in sorted(operate("power_policy").items()):
        if group in ("", name):
            print(json.dumps({name: one}, indent=2))


def _read(file: Path | None) -> dict[str, Any]:
    assert file is not None
    try:
        raw = json.loads(file.read_text())
    except OSError as wrong:
        raise NotFound(f"{file} cannot be read: {wrong.strerror}.") from wrong
    except ValueError:
        raise Invalid(f"{file} is not JSON.", hint="See docs/power.md.") from None
    if not isinstance(raw, dict):
        raise Invalid(f"{file} is no power policy.", hint="See docs/power.md.")
    return raw
