"""The process's edge: arguments in, an exit code out. Errors are two lines, never a traceback."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from cloister import __version__
from cloister.base.errors import EXIT_CODE, CloisterError
from cloister.base.telemetry import name_part

INTERRUPTED = 130  # 128 + SIGINT, as shells say it
ABOUT: Final = "Cloister: a self-hosted hospital workspace whose records only their sessions can read."
COMMANDS: Final = (
    "up", "import", "ingest", "verify",
    "demo", "look", "audit", "witness", "session", "vpn", "server", "power", "application",
    "licence", "program", "app", "office", "card", "workstation", "zone", "ceremony", "team",
    "terminology", "mllp", "outbound", "policy", "directory", "provider", "certificate", "sign-in",
)  # fmt: skip


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"cloister {__version__}")
        raise typer.Exit


def options(
    version: Annotated[bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)] = False,
) -> None:
    """Options of the whole command line."""


def app_for(arguments: Sequence[str]) -> typer.Typer:
    """The command line, with only the command that is typed: the modules of all take seconds to load. With all, where none is named."""
    app = typer.Typer(help=ABOUT, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.callback(help=ABOUT)(options)
    typed = arguments[0] if arguments and arguments[0] in {*COMMANDS, "--version"} else None
    for command in COMMANDS:
        if typed in (None, command):
            _add(app, command)
    return app


def _add(app: typer.Typer, command: str) -> None:
    match command:
        case "up":
            from cloister.cli.up import up

            app.command("up")(up)
        case "import":
            from cloister.cli.importing.command import import_records

            app.command("import")(import_records)
        case "ingest":
            from cloister.cli.ingest import ingest_files

            app.command("ingest")(ingest_files)
        case "verify":
            from cloister.cli.verify import verify

            app.command("verify")(verify)
        case _:
            app.add_typer(_commands_of(command), name=command)


def _commands_of(noun: str) -> typer.Typer:
    match noun:
        case "demo":
            from cloister.cli import demo

            return demo.app
        case "look":
            from cloister.cli import look

            return look.app
        case "session":
            from cloister.cli import session

            return session.app
        case "server":
            from cloister.cli import server

            return server.app
        case "power":
            from cloister.cli import power

            return power.app
        case "application":
            from cloister.cli import application

            return application.app
        case "licence":
            from cloister.cli import licence

            return licence.app
        case "vpn":
            from cloister.cli import vpn

            return vpn.app
        case "witness":
            from cloister.cli import witness

            return witness.app
        case "audit":
            from cloister.cli import audit

            return audit.app
        case "mllp":
            from cloister.cli.mllp import command

            return command.app
        case "outbound":
            from cloister.cli import outbound

            return outbound.app
        case "terminology":
            from cloister.cli import terminology

            return terminology.app
        case _:
            return _commands_of_offices(noun)


def _commands_of_offices(noun: str) -> typer.Typer:
    match noun:
        case "program":
            from cloister.cli import program

            return program.app
        case "app":
            from cloister.cli import app

            return app.app
        case "office":
            from cloister.cli import office

            return office.app
        case "card":
            from cloister.cli import card

            return card.app
        case "workstation":
            from cloister.cli import workstation

            return workstation.app
        case "zone":
            from cloister.cli import zone

            return zone.app
        case "ceremony":
            from cloister.cli import ceremony

            return ceremony.app
        case "team":
            from cloister.cli import team

            return team.app
        case "policy":
            from cloister.cli import policy

            return policy.app
        case "directory":
            from cloister.cli import directory

            return directory.app
        case "provider":
            from cloister.cli import provider

            return provider.app
        case "certificate":
            from cloister.cli import certificate

            return certificate.app
        case "sign-in":
            from cloister.cli import sign_in

            return sign_in.app
        case _:
            raise LookupError(noun)


def say(refused: CloisterError) -> None:
    print(f"error: {refused.text}", file=sys.stderr)
    if refused.hint:
        print(f"hint: {refused.hint}", file=sys.stderr)


def main() -> NoReturn:
    name_part("cli")
    try:
        app_for(sys.argv[1:])()
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
