"""Asking for a PIN outside the browser: a program of the site's choice, pinentry (Assuan protocol), or the terminal."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Final
from urllib.parse import quote, unquote

from cloister.workstation.faults import CardFault

PROMPT_SECONDS_MAX: Final = 120
PIN_CHARACTERS_MAX: Final = 64


def prompt_of(program: str | None) -> Callable[[str], str]:
    """The way that this workstation has. `program` gets the question as its argument and prints the PIN."""
    if program:
        return lambda question: _checked(_run([program, question], ""))
    if (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")) and shutil.which("pinentry"):
        return _by_pinentry
    return _by_terminal


def _by_pinentry(question: str) -> str:
    *lines, last = question.split("\n")
    asked = [f"SETDESC {quote(chr(10).join(lines))}", f"SETPROMPT {quote(last)}", "SETTITLE Cloister", "GETPIN", "BYE", ""]
    for line in _run(["pinentry"], "\n".join(asked)).splitlines():
        if line.startswith("D "):
            return _checked(unquote(line[2:]))
    raise CardFault("pin-cancelled")


def _by_terminal(question: str) -> str:
    if not sys.stdin.isatty():
        raise CardFault("no-prompt")
    try:
        return _checked(getpass.getpass(question + " "))
    except (EOFError, KeyboardInterrupt):
        raise CardFault("pin-cancelled") from None


def _run(command: list[str], text: str) -> str:
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=PROMPT_SECONDS_MAX, check=False)
    except OSError:
        raise CardFault("no-prompt") from None
    except subprocess.TimeoutExpired:
        raise CardFault("pin-cancelled") from None
    if done.returncode != 0:
        raise CardFault("pin-cancelled")
    return done.stdout


def _checked(answer: str) -> str:
    pin = answer.split("\n", 1)[0].removesuffix("\r")
    if not 0 < len(pin) <= PIN_CHARACTERS_MAX:
        raise CardFault("pin-cancelled")
    return pin
