"""`cloister card`: the card agent on this computer, and a trial of one's card at the running trust.

A workstation needs none of the rest: scripts/build-card-deb makes the agent one file, `cloister-card`.
"""

from __future__ import annotations

from typing import Annotated, Final

import typer

from cloister.base.errors import NotFound
from cloister.base.settings import read_settings
from cloister.cli.card_agent import agent_here
from cloister.cli.own_session import OwnSession, ask_passphrase
from cloister.workstation import main as workstation

app = typer.Typer(help="Smartcards at this computer.", no_args_is_help=True, rich_markup_mode=None)

PASSED_ON: Final = {"allow_extra_args": True, "ignore_unknown_options": True}


@app.command("run", context_settings=PASSED_ON, add_help_option=False)
def run(context: typer.Context) -> None:
    """Lend this computer's card reader to the pages of a trust; options as of cloister-card(1)."""
    raise typer.Exit(workstation(["run", *context.args]))


@app.command("list", context_settings=PASSED_ON, add_help_option=False)
def list_cards(context: typer.Context) -> None:
    """The cards in the readers; options as of cloister-card(1)."""
    raise typer.Exit(workstation(["list", *context.args]))


@app.command("try")
def try_card(sign_in: Annotated[str, typer.Argument(help="Whose card it is.")]) -> None:
    """Sign in with the inserted card, say what it opens, and sign out again."""
    agent = agent_here()
    if agent is None:
        raise NotFound("No card agent runs here.", hint="cloister-card --socket $XDG_RUNTIME_DIR/cloister-card.sock")
    session = OwnSession(read_settings(), sign_in, lambda: ask_passphrase(sign_in), agent)
    try:
        state = session.get("/session/state")
        print(f"This card opens the keys of {sign_in}: {state['zones']} zones, {len(state['refused'])} refused.")
        session.post("/session/end", {})
    finally:
        session.close()
