"""The process's edge: arguments in, an exit code out. Errors are two lines, never a traceback."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from cloister import __version__
from cloister.base.errors import EXIT_CODE, CloisterError
from cloister.base.telemetry import name_part
from cloister.cli.app import app as apps
from cloister.cli.audit import app as audit
from cloister.cli.card import app as card
from cloister.cli.ceremony import app as ceremony
from cloister.cli.demo import app as demo
from cloister.cli.importing.command import import_records
from cloister.cli.ingest import ingest_files
from cloister.cli.look import app as look
from cloister.cli.mllp.command import app as mllp
from cloister.cli.office import app as office
from cloister.cli.program import app as program
from cloister.cli.session import app as session
from cloister.cli.team import app as team
from cloister.cli.terminology import app as terminology
from cloister.cli.up import up
from cloister.cli.verify import verify
from cloister.cli.witness import app as witness
from cloister.cli.zone import app as zone

INTERRUPTED = 130  # 128 + SIGINT, as shells say it

app = typer.Typer(
    help="Cloister: a self-hosted hospital workspace whose records only their sessions can read.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"cloister {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)] = False,
) -> None:
    """Cloister: a self-hosted hospital workspace whose records only their sessions can read."""


app.command("up")(up)
app.command("import")(import_records)
app.command("ingest")(ingest_files)
app.command("verify")(verify)
app.add_typer(demo, name="demo")
app.add_typer(look, name="look")
app.add_typer(audit, name="audit")
app.add_typer(witness, name="witness")
app.add_typer(session, name="session")
app.add_typer(program, name="program")
app.add_typer(apps, name="app")
app.add_typer(office, name="office")
app.add_typer(card, name="card")
app.add_typer(zone, name="zone")
app.add_typer(ceremony, name="ceremony")
app.add_typer(team, name="team")
app.add_typer(terminology, name="terminology")
app.add_typer(mllp, name="mllp")


def say(refused: CloisterError) -> None:
    print(f"error: {refused.text}", file=sys.stderr)
    if refused.hint:
        print(f"hint: {refused.hint}", file=sys.stderr)


def main() -> NoReturn:
    name_part("cli")
    try:
        app()
    except CloisterError as refused:
        say(refused)
        sys.exit(EXIT_CODE[refused.category])
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as fault:  # the process's edge: the fault is ours
        trace = fault.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"
        print(f"error: Something went wrong inside ({type(fault).__name__} at {place}).", file=sys.stderr)
        print("hint: This is a fault of Cloister; please report it with this line.", file=sys.stderr)
        sys.exit(70)  # EX_SOFTWARE
    sys.exit(0)
