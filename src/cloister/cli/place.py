"""Where the trust of this state folder answers, and as which program to speak to it."""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloister.base.errors import Denied, Invalid, NotFound
from cloister.base.secret import Secret
from cloister.base.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A client of the token endpoint (RFC 6749, 4.4)."""

    client_id: str
    client_secret: Secret = field(repr=False)
    hospital: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """The running trust as seen from outside: its address, the authority of its certificate, a program."""

    base: str
    ca: str  # a file, or PEM text itself
    program: Program

    def tls(self) -> ssl.SSLContext:
        try:
            if self.ca.startswith("-----BEGIN"):
                return ssl.create_default_context(cadata=self.ca)
            return ssl.create_default_context(cafile=self.ca)
        except (OSError, ssl.SSLError) as wrong:
            raise NotFound(
                f"The trust's certificate authority cannot be read: {self.ca[:200]}.",
                hint="Start the trust with `cloister up`, or set CLOISTER_STATE.",
            ) from wrong


def sign_ins_file(settings: Settings) -> Path:
    return settings.state / "demo" / "sign-ins.json"


def read_sign_ins(settings: Settings) -> dict[str, Any]:
    """What the demo's founding printed; NotFound before the first start."""
    path = sign_ins_file(settings)
    try:
        body = json.loads(path.read_text())
    except FileNotFoundError:
        raise NotFound(
            f"There is no demo trust in {settings.state}.", hint="Start one with `cloister up`, or set CLOISTER_STATE to its folder."
        ) from None
    except PermissionError:
        raise Denied(f"{path} belongs to another user.", hint="Run this as the user who runs `cloister up`.") from None
    except ValueError:
        raise Invalid(f"{path} is not JSON.", hint="Restore it from a copy.") from None
    if not isinstance(body, dict):
        raise Invalid(f"{path} is not a list of sign-ins.", hint="Restore it from a copy.")
    return body


def find_trust(settings: Settings, *, hospital: str | None, program: str | None, secret_file: Path | None) -> Trust:
    """The trust and the program for a hospital: one given by name and secret, or the demo's own."""
    if program is not None:
        if secret_file is None:
            raise Invalid("A program needs its secret.", hint="Add --secret-file FILE.")
        try:
            secret = Secret(secret_file.read_text().strip().encode())
        except OSError as wrong:
            raise NotFound(f"The secret file {secret_file} cannot be read: {wrong.strerror}.") from wrong
        chosen = Program(client_id=program, client_secret=secret, hospital=hospital or "")
        return Trust(base=settings.base_url, ca=str(settings.ca_file), program=chosen)
    known = read_sign_ins(settings)
    programs = known.get("programs") or []
    fitting = [one for one in programs if hospital in (None, one.get("hospital"))]
    if not fitting:
        names = ", ".join(sorted({str(one.get("hospital")) for one in programs})) or "none"
        raise NotFound(f"No program of this trust works for hospital '{hospital}'.", hint=f"Known hospitals: {names}. Or give --program.")
    one = fitting[0]
    return Trust(
        base=str(known.get("base") or settings.base_url),
        ca=str(known.get("ca") or settings.ca_file),
        program=Program(
            client_id=str(one["client_id"]), client_secret=Secret(str(one["client_secret"]).encode()), hospital=str(one.get("hospital", ""))
        ),
    )
