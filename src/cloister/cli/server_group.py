"""`cloister server group` and `cloister server label`: delivery groups, which servers they take, what they offer and to whom."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cloister.base.errors import Invalid, NotFound
from cloister.cli.operating import operate

app = typer.Typer(help="Delivery groups: which servers offer what, and to whom.", no_args_is_help=True, rich_markup_mode=None)

Id = Annotated[str, typer.Argument(help="Its short name, such as 'icu'.")]
NO_LIMIT = 0


@app.command("list")
def list_groups() -> None:
    """Every group: its servers, what they offer, to whom."""
    found = operate("groups")["groups"]
    for row in found:
        counts = f"{row['members']:>5} servers, {row['ready']:>5} ready, {row['sessions']:>6} sessions"
        print(f"{row['id']:<20} {counts}  {', '.join(row['applications'])} for {_whom(row)}")
    print(f"{len(found):,} groups")


def _whom(row: dict[str, Any]) -> str:
    return " ".join(word for word in (", ".join(row["roles"]) or "everybody", f"of {row['hospital']}" if row["hospital"] else "") if word)


@app.command()
def show(group: Id) -> None:
    """Everything that is written of one."""
    row = next((one for one in operate("groups")["groups"] if one["id"] == group), None)
    if row is None:
        raise NotFound(f"There is no delivery group '{group[:60]}'.", hint="See `cloister server group list`.")
    said = {
        "name": row["name"], "offers": ", ".join(row["applications"]), "hospital": row["hospital"] or "every hospital",
        "roles": ", ".join(row["roles"]) or "every role", "image": row["image"] or "whatever a server runs",
        "sign-ins": f"{row['tolerance']:,} at once on a server", "sessions": f"{row['server_max']:,} at most on a server"
        if row["server_max"] else "as many as a server has slots", "by name": ", ".join(row["servers"]) or "no server",
        "by label": ", ".join(row["labels"]) or "no server",
        "now": f"{row['members']:,} servers, {row['fitting']:,} with its image, {row['ready']:,} ready, {row['sessions']:,} sessions",
    }  # fmt: skip
    print(row["id"])
    for name, value in said.items():
        print(f"    {name:<10} {value}".rstrip())


Server = Annotated[list[str] | None, typer.Option(help="A server by its name; again for more. '' for none.")]
Label = Annotated[list[str] | None, typer.Option(help="Servers of this label; again for more. '' for none.")]
Offers = Annotated[list[str] | None, typer.Option("--application", help="What its servers offer; again for more.")]
Roles = Annotated[list[str] | None, typer.Option("--role", help="Who may use it; again for more. '' for every role.")]


@app.command("set")
def set_group(
    group: Id,
    name: Annotated[str | None, typer.Option(help="What it is called in lists.")] = None,
    server: Server = None,
    label: Label = None,
    application: Offers = None,
    role: Roles = None,
    hospital: Annotated[str | None, typer.Option(help="For people of this hospital only. '' for every hospital.")] = None,
    image: Annotated[str | None, typer.Option(help="Only servers that run this image version. '' for any.")] = None,
    sign_ins: Annotated[int | None, typer.Option(help="Sign-ins at once on one server; more wait for their turn.")] = None,
    sessions: Annotated[int | None, typer.Option(help="Sessions on one server; 0 for as many as it has slots.")] = None,
) -> None:
    """Write a group, or change what the options name; the rest stays. It counts for who comes from now on."""
    given: dict[str, Any] = {
        "name": name, "servers": server, "labels": label, "applications": application, "roles": role, "hospital": hospital,
        "image": image, "tolerance": sign_ins, "server_max": sessions,
    }  # fmt: skip
    words = {field: value for field, value in given.items() if value is not None}
    if words.get("server_max") == NO_LIMIT:
        words["server_max"] = None
    for field in ("servers", "labels", "applications", "roles"):
        if field in words:
            words[field] = [one for one in words[field] if one]
    done = operate("set_group", id=group, **words)
    print(f"{'made' if done['created'] else 'changed'} group {group}; {done['members']:,} servers are of it")
    if not done["members"]:
        print("nobody is sent to it yet: choose its servers with --server or --label")
    elif not done["fitting"]:
        print(f"nobody is sent to it yet: its servers run {', '.join(done['images']) or 'no image that they told of'}")


@app.command()
def remove(group: Id) -> None:
    """Forget a group. Sessions on its servers go on; who comes next goes where the other groups send them."""
    orphans = operate("remove_group", id=group)["orphans"]
    print(f"removed group {group}")
    if orphans:
        print(f"no group offers these any more: {', '.join(orphans)}")


def label(
    server: Annotated[str, typer.Argument(help="Its name, as `server list` shows it.")],
    labels: Annotated[list[str] | None, typer.Argument(help="All its labels from now on, such as: icu gpu")] = None,
    none: Annotated[bool, typer.Option("--none", help="Take every label off.")] = False,
) -> None:
    """Write a server's labels, by which groups choose it; without any, show them."""
    if labels and none:
        raise Invalid("Say labels, or --none.")
    if not labels and not none:
        print(", ".join(operate("groups")["labels"].get(server, ())) or "no label")
        return
    done = operate("label_server", server=server, labels=labels or [])
    print(f"{server}: {', '.join(done['labels']) or 'no label'}; of group {', '.join(done['groups'])}")
