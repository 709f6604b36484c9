"""`cloister-card`: run the agent, or look at the cards that are in the readers."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cloister.workstation.agent import Agent
from cloister.workstation.faults import CardFault
from cloister.workstation.pkcs11 import Module
from cloister.workstation.prompts import prompt_of
from cloister.workstation.serving import PORT, LoopbackDoor, SocketDoor, serve

VERSION: Final = "0.1.0"
MODULES: Final = (  # where Debian and card makers put them; the first that is there
    "/usr/lib/libcps3_pkcs11_lux.so",
    "/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so",
    "/usr/lib/aarch64-linux-gnu/opensc-pkcs11.so",
    "/usr/lib/softhsm/libsofthsm2.so",
)
ORIGIN_FILES: Final = (Path("/etc/cloister-card/origins"), Path("~/.config/cloister-card/origins"))


def main(arguments: Sequence[str] | None = None) -> int:
    asked = _arguments(arguments)
    try:
        return _list(asked) if asked.command == "list" else _run(asked)
    except CardFault as fault:
        print(f"error: {fault}", file=sys.stderr)
        return 1


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    reading = argparse.ArgumentParser(prog="cloister-card", description="Lends this workstation's card reader to the pages of your trust.")
    reading.add_argument("command", nargs="?", choices=("run", "list"), default="run", help="run the agent (default), or list the cards")
    reading.add_argument("--version", action="version", version=f"cloister-card {VERSION}")
    reading.add_argument("--origin", action="append", default=[], metavar="https://NAME", help="an address of your trust; may be repeated")
    reading.add_argument("--module", metavar="FILE", help="the card's PKCS#11 module")
    reading.add_argument("--port", type=int, default=PORT, help=f"of 127.0.0.1 (default {PORT}, which pages look for)")
    reading.add_argument("--socket", type=Path, metavar="FILE", help="also listen here, for programs of yours")
    reading.add_argument("--pin-program", metavar="FILE", help="gets the question as its argument, prints the PIN")
    return reading.parse_args(arguments)


def _module(asked: argparse.Namespace) -> Module:
    return Module.load(asked.module or next((path for path in MODULES if Path(path).exists()), ""))


def _run(asked: argparse.Namespace) -> int:
    origins = origins_of(asked.origin)
    if not origins and asked.socket is None:
        print("error: no address of a trust is known\nhint: cloister-card --origin https://record.example", file=sys.stderr)
        return 2
    os.umask(0o077)
    agent = Agent(_module(asked), prompt_of(asked.pin_program))
    doors: list[LoopbackDoor | SocketDoor] = []
    try:
        if origins:
            doors.append(LoopbackDoor(agent, origins, VERSION, asked.port))
        if asked.socket is not None:
            doors.append(SocketDoor(agent, VERSION, asked.socket))
    except OSError as taken:
        print(f"error: cannot listen: {taken.strerror}\nhint: another agent may be running", file=sys.stderr)
        return 1
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    close = serve(*doors)
    print(f"cloister-card {VERSION}: ready for {', '.join(sorted(origins)) or asked.socket}", flush=True)
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
    close()
    agent.close()
    return 0


def origins_of(named: Sequence[str]) -> frozenset[str]:
    """Those named here and in the files, each https://name or https://name:port and nothing after it; others are said and left out."""
    found = list(named)
    for file in ORIGIN_FILES:
        try:
            found += [line.strip() for line in file.expanduser().read_text().splitlines()]
        except OSError:
            continue
    kept = set()
    for origin in found:
        parts = urlsplit(origin)
        if parts.scheme == "https" and parts.netloc and origin == f"https://{parts.netloc}":
            kept.add(origin)
        elif origin and not origin.startswith("#"):
            print(f"left out: '{origin}' is not an origin such as https://record.example", file=sys.stderr)
    return frozenset(kept)


def _list(asked: argparse.Namespace) -> int:
    agent = Agent(_module(asked), prompt_of(None))
    for card in agent.cards():
        print(f"{card.token.label}  {card.token.serial}")
        for one in card.certificates:
            ends = datetime.fromtimestamp(one.not_after / 1000, UTC).date()
            print(f"  {one.key[:16]}  {one.curve or 'RSA'}  until {ends}  {one.name}")
    print(f"{len(agent.cards())} cards")
    agent.close()
    return 0
