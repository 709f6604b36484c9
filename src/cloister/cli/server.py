"""`cloister server`: the machines of the farm, what they carry, why one takes nobody, and their maintenance."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cloister.base.errors import NotFound
from cloister.cli import machines, server_group
from cloister.cli.maintenance import drain, maintenance, undrain, window
from cloister.cli.operating import operate

app = typer.Typer(help="Servers of this trust.", no_args_is_help=True, rich_markup_mode=None)
app.command("token")(machines.token)
app.command("join")(machines.join)
app.command("run")(machines.run_server)
app.command("renew")(machines.renew)
app.command("machines")(machines.list_machines)
app.command("lost")(machines.lost)
app.command("remove")(machines.remove)
app.add_typer(server_group.app, name="group")
app.command("label")(server_group.label)

for command in (drain, undrain, maintenance, window):
    app.command()(command)


@app.command("list")
def list_servers(state: Annotated[str, typer.Option(help="Only those in this state.")] = "") -> None:
    """Every server that was ever heard of: its state, sessions, free slots, load a processor, groups."""
    shown = [row for row in operate("farm")["servers"] if state in ("", row["state"])]
    for row in shown:
        why = f"  {row['why']}" if row["why"] else ""
        counts = f"{row['sessions']:>5} sessions, {row['free']:>5} free"
        print(f"{row['id']:<28} {row['state']:<12} {counts}, load {row['load']:.2f}  {','.join(row['groups'])}{why}")
    print(f"{len(shown):,} servers, {sum(row['sessions'] for row in shown):,} sessions")
    print(canary_line(operate("canary")))


def canary_line(said: dict[str, str]) -> str:
    """What the gateway's two-person canary found last."""
    if said["alarmed"]:
        return f"gateway canary: ALARM of {said['alarmed']}: {said['what']}"
    return f"gateway canary: clean at {said['clean']}" if said["clean"] else "gateway canary: no round yet"


@app.command()
def show(server: Annotated[str, typer.Argument(help="Its name.")]) -> None:
    """One server, and whose sessions it carries."""
    row = _one(server)
    print(": ".join(word for word in (f"{row['id']}  {row['state']}", row["why"]) if word))
    for name in ("groups", "image", "slots", "free", "load", "memory", "active", "locked", "disconnected", "seen", "missing"):
        value = row[name]
        print(f"    {name:<13} {', '.join(value) if isinstance(value, list | tuple) else value}")
    for one in operate("sessions", search=server):
        print(f"    {one['id']}  {one['state']:<12} {one['sign_in']:<22} {one['role']}")


def _one(server: str) -> dict[str, Any]:
    for row in operate("farm")["servers"]:
        if row["id"] == server:
            return dict(row)
    raise NotFound("There is no such server.", hint="See `cloister server list`.")
