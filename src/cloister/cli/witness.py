"""`cloister witness`: watch the audit log of somebody else's trust. One key, one folder, no database.

Run it where the trust's administrators have no say: another hospital, the regulator, a notary.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Annotated, Final

import typer

from cloister.audit import NoteKey, note, verified_checkpoint
from cloister.base.errors import Corrupt, Invalid
from cloister.witness import Folder, FolderWitness, Witness, serve
from cloister.zones import audit_keys

app = typer.Typer(help="Watch the audit log of a trust.", no_args_is_help=True, rich_markup_mode=None)

State = Annotated[Path, typer.Option(help="The witness's own folder: its key and its memory.")]
Log = Annotated[str, typer.Option(help="Trust and key of the log: the two members `trust` and `audit` of public/trust.json, as trust:hex.")]
KEY: Final = "witness.key"


def log_key(text: str) -> NoteKey:
    trust, _, public = text.rpartition(":")
    try:
        raw = bytes.fromhex(public)
    except ValueError:
        raw = b""
    if not trust or len(raw) != 32:
        raise Invalid("This is not a log's key.", hint="Write the trust's id, a colon, and the 64 digits of `audit` in public/trust.json.")
    return audit_keys.log_key(trust, raw)


def signer(state: Path, name: str) -> note.NoteSigner:
    """Made at the first use; the file is this witness's alone."""
    state.mkdir(parents=True, exist_ok=True)
    path = state / KEY
    if not path.exists():
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(32))
    if not name or any(c.isspace() or c == "+" for c in name):
        raise Invalid("A witness's name has no space and no plus sign.", hint="For example: chu-lyon.example/witness")
    return audit_keys.witness_signer(name, path.read_bytes())


@app.command("key")
def show_key(state: State, name: Annotated[str, typer.Option(help="Such as chu-lyon.example/witness.")]) -> None:
    """The key to give to the trust, for its setting CLOISTER_WITNESSES (with @ and this program's address behind it)."""
    print(signer(state, name).key.text())


@app.command("run")
def run(
    state: State,
    name: Annotated[str, typer.Option(help="As given with `cloister witness key`.")],
    log: Log,
    listen: Annotated[str, typer.Option(help="Address and port.")] = "127.0.0.1:8787",
) -> None:
    """Answer until stopped."""
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit():
        raise Invalid(f"'{listen[:60]}' is no address and port.", hint="For example: --listen 0.0.0.0:8787")
    witness = Witness(log_key(log), signer(state, name), Folder(state))
    print(f"watching {witness.seen.size if witness.seen else 0:,} entries; http://{listen}/add-checkpoint", flush=True)
    serve(witness, (host, int(port))).serve_forever()


@app.command()
def check(folder: Annotated[Path, typer.Argument(help="A folder of checkpoints, or one checkpoint as a file.")], log: Log) -> None:
    """Every checkpoint is signed by the log, and none contradicts another."""
    key = log_key(log)
    if folder.is_file():
        try:
            found = [verified_checkpoint(folder.read_text(), key)]
        except UnicodeDecodeError:
            raise Corrupt("This file is no checkpoint.", reason="note") from None
    else:
        found = FolderWitness(key, Folder(folder)).check()
    for one in found:
        print(f"{one.size:>12,}  {one.at:%Y-%m-%d %H:%M:%S} UTC  {one.root.hex()}")
    print(f"{len(found):,} signed checkpoints contradict nothing")


@app.command("accept")
def accept(
    state: State,
    name: Annotated[str, typer.Option(help="As given with `cloister witness key`.")],
    log: Log,
    checkpoint: Annotated[Path, typer.Argument(help="The restored log's newest checkpoint, as a file.")],
    why: Annotated[str, typer.Option(help="What the trust's two officers signed.")],
) -> None:
    """Watch a restored log from this checkpoint on. Stop the witness first; the break stays on its file for ever."""
    Witness(log_key(log), signer(state, name), Folder(state)).start_again(checkpoint.read_text(), why)
    print("The witness goes on from there.")
