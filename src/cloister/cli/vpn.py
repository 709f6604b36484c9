"""`cloister vpn`: a tunnel of one's own after signing in, and the administrator's list of all tunnels."""

from __future__ import annotations

import base64
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from cloister.base.errors import Unavailable
from cloister.base.settings import read_settings
from cloister.cli.operating import operate
from cloister.cli.own_session import ask_code, signed_in
from cloister.machines import web_keys
from cloister.workstation import posture

app = typer.Typer(help="The VPN.", no_args_is_help=True, rich_markup_mode=None)
SignIn = Annotated[str, typer.Option("--sign-in", help="Your sign-in name.")]
Code = Annotated[bool, typer.Option("--code", help="Ask for a one-time code beside the passphrase, where the rules want two factors.")]


def fetched(sign_in: str, code: bool) -> tuple[str, dict[str, Any]]:
    """A new private key (PEM) and what the trust gave for it: certificate, until, server, authority, routes."""
    session = signed_in(read_settings(), sign_in, ask_code if code else None)
    key, request = web_keys.new_tls_request()
    asked = {"request": base64.b64encode(request).decode("ascii"), "posture": posture.facts()}
    try:
        return key, session.post("/network/certificate", asked)
    finally:
        session.close()


def write_profile(folder: Path, key: str, given: dict[str, Any]) -> None:
    """Key, certificate and authority, for this account alone."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, text in (("key.pem", key), ("certificate.pem", given["certificate"]), ("authority.pem", given["authority"])):
        path = folder / name
        path.unlink(missing_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)


def client_command(folder: Path, given: dict[str, Any]) -> list[str]:
    """openconnect(8), which asks for root itself where it needs it."""
    own = ["-c", str(folder / "certificate.pem"), "-k", str(folder / "key.pem"), f"--cafile={folder / 'authority.pem'}"]
    return ["openconnect", "--protocol=anyconnect", "--non-inter", "--no-dtls", *own, f"https://{given['server']}/"]


@app.command()
def certificate(
    sign_in: SignIn, out: Annotated[Path, typer.Option(help="A folder for key, certificate and authority.")], code: Code = False
) -> None:
    """Fetch a certificate that opens the VPN for the hours it names, while you are signed in."""
    key, given = fetched(sign_in, code)
    write_profile(out, key, given)
    print(f"{out}: until {given['until']}. Connect with:\n  {' '.join(client_command(out, given))}")


@app.command()
def connect(sign_in: SignIn, code: Code = False) -> None:
    """Fetch a certificate and connect with openconnect, until Ctrl-C. Ends with your last session."""
    if shutil.which("openconnect") is None:
        raise Unavailable("openconnect is not installed here.", hint="apt install openconnect")
    key, given = fetched(sign_in, code)
    folder = Path(tempfile.mkdtemp(prefix="cloister-vpn-"))
    try:
        write_profile(folder, key, given)
        command = client_command(folder, given)
        raise SystemExit(os.spawnvp(os.P_WAIT, command[0], command))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@app.command(name="list")
def list_tunnels(
    person: Annotated[str, typer.Option(help="A sign-in name.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Who has a tunnel now: person, role, inner and outer address, since when."""
    found = operate("tunnels", person=person)
    if as_json:
        print(json.dumps(found))
        return
    for one in found["tunnels"]:
        row = (f"{one['server']}:{one['id']}", one["sign_in"], one["role"], one["address"], one["origin"], one["since"])
        print("  ".join(row) + ("  ending" if one["ending"] else ""))
    if not found["tunnels"]:
        print("Nobody." if found["running"] else "The VPN does not run. See docs/vpn.md.")


@app.command()
def end(
    tunnel: Annotated[str, typer.Argument(help="As `cloister vpn list` shows it: server:number.")] = "",
    person: Annotated[str, typer.Option(help="A sign-in name: all of this person's tunnels.")] = "",
) -> None:
    """End a tunnel, within a second. Its person stays signed in and may connect again; `cloister session end` ends both."""
    server, _, number = tunnel.rpartition(":")
    done = operate("end_tunnel", **({"person": person} if person else {"server": server, "id": number}))
    print(f"{done['ending']} ending")
