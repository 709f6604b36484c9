"""`cloister terminology`: load code systems, value sets, concept maps and profiles that FHIR R4 does not bring along.

Each load makes one pack in the state folder; sessions that are opened afterwards have it. No database and no key is touched:
what is loaded here is no patient's. docs/terminology.md.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table as Grid

from cloister.base.clock import system_clock
from cloister.base.errors import Invalid, NotFound
from cloister.base.settings import read_settings
from cloister.records import loading

app = typer.Typer(help="Load code systems, value sets, concept maps and profiles.", no_args_is_help=True, rich_markup_mode=None)

REJECTED_SHOWN_MAX: Final = 200
NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")
TABLES: Final = (".csv", ".tsv", ".txt")

Files = Annotated[list[Path], typer.Argument(help="FHIR JSON, packages (.tgz), folders of JSON, or tables of codes (.csv).")]
Name = Annotated[str, typer.Option(help="The pack's name; the package's or the file's by default. The same name replaces.")]
Url = Annotated[str, typer.Option(help="For a table: the canonical address of its code system.")]
Column = Annotated[list[str], typer.Option(help="For a table: which column is what, as code=NAME or display=NAME.")]


@app.command("load")
def load(
    files: Files,
    name: Name = "",
    url: Url = "",
    title: Annotated[str, typer.Option(help="For a table: its title.")] = "",
    version: Annotated[str, typer.Option(help="For a table: its version.")] = "",
    language: Annotated[str, typer.Option(help="For a table: the language of its names, such as fr.")] = "",
    column: Column = [],  # noqa: B006 (typer reads the default)
    check: Annotated[bool, typer.Option("--check", help="Read and report, and write nothing.")] = False,
) -> None:
    """Read files and make a pack of everything in them that is good; name every entry that is not."""
    table = loading.Table(url=url, title=title, version=version, language=language, columns=_columns(column))
    loaded = loading.merged(_read(path, table) for path in files)
    whole = dict(loaded.resources)  # as they came, for who reads them
    loading.refresh(_folder())
    loading.worked_out(loaded, loading.library())
    _report(loaded)
    if not loaded.resources:
        raise Invalid("There is nothing in it to load.", hint="See the entries above.")
    if check:
        print("Nothing was written (--check).")
        return
    pack = NAME.sub("-", name or loaded.name).strip("-.")[:120] or "pack"
    path = write_pack(_folder(), pack, loading.packed(loaded.resources.values(), [whole[key] for key in loaded.resources], system_clock()))
    print(f"{path.name} holds {_counted(loaded)}, {path.stat().st_size / 1e6:.1f} MB. Sessions that are opened from now on have it.")


@app.command("list")
def show() -> None:
    """What is loaded: each pack, what it holds, how large it is."""
    grid = Grid(box=None)
    for heading in ("pack", "holds", "MB"):
        grid.add_column(heading)
    for path in sorted(_folder().glob(f"*{loading.SUFFIX}")):
        kinds: dict[str, int] = {}
        for entry in loading.open_pack(path).entries:
            kinds[entry.kind] = kinds.get(entry.kind, 0) + 1
        grid.add_row(path.stem, ", ".join(f"{count} {kind}" for kind, count in kinds.items()), f"{path.stat().st_size / 1e6:.1f}")
    Console().print(grid)


@app.command("remove")
def remove(name: Annotated[str, typer.Argument(help="As `cloister terminology list` shows it.")]) -> None:
    """Take a pack away; sessions that are open keep it until they end."""
    path = _folder() / f"{NAME.sub('-', name)}{loading.SUFFIX}"
    if not path.exists():
        raise NotFound(f"There is no pack '{name[:120]}'.", hint="See `cloister terminology list`.")
    path.unlink()
    print(f"{path.stem} is gone.")


def _folder() -> Path:
    return read_settings().terminology


def _columns(told: list[str]) -> dict[str, str]:
    pairs = [one.partition("=") for one in told]
    wrong = next((role for role, _, column in pairs if not role or not column), None)
    if wrong is not None:
        raise Invalid("A column is told as role=NAME.", hint="Such as --column code=CODE_CCAM --column display=LIBELLE.")
    return {role.strip(): column.strip() for role, _, column in pairs}


def _read(path: Path, table: loading.Table) -> loading.Loaded:
    if path.suffix.lower() in TABLES:
        if not table.url:
            raise Invalid(
                f"{path.name} is a table, and a table has no address.", hint="Add --url, the canonical address of its code system."
            )
        try:
            return loading.read_table(path.read_bytes(), table, path.name)
        except OSError as wrong:
            raise NotFound(f"{path} cannot be read: {wrong.strerror}.") from None
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as bar:
        task = bar.add_task(path.name, total=None)
        return loading.read_path(path, lambda done, total: bar.update(task, completed=done, total=total))


def _report(loaded: loading.Loaded) -> None:
    for one in loaded.rejected[:REJECTED_SHOWN_MAX]:
        print(f"not taken: {one.where}: {one.text} {one.hint}".rstrip())
    if len(loaded.rejected) > REJECTED_SHOWN_MAX:
        print(f"... and {len(loaded.rejected) - REJECTED_SHOWN_MAX} more that were not taken.")
    print(f"read: {_counted(loaded)}; not taken: {len(loaded.rejected)}; of other kinds: {loaded.aside}")


def _counted(loaded: loading.Loaded) -> str:
    kinds: dict[str, int] = {}
    for kind, _, _ in loaded.resources:
        kinds[kind] = kinds.get(kind, 0) + 1
    return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "nothing"


def write_pack(folder: Path, name: str, content: bytes) -> Path:
    """Whole or not at all, and under a new inode: sessions that have mapped the old one keep what they have."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}{loading.SUFFIX}"
    new = path.with_name(path.name + ".new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)
    return path
