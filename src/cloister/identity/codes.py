"""One-time codes of a telephone (RFC 6238) and codes on paper. Pure; what was used is remembered by whoever stores it.

`pyotp` makes the codes; it forgets at once what it verified, so that which step a code belongs to, and that each step counts once,
is here and in the store (gateway/factors.py).
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
from datetime import datetime
from typing import Final

import pyotp

from cloister.base.secret import Secret

STEP_SECONDS: Final = 30
DRIFT_STEPS: Final = 1  # RFC 6238 5.2: a clock that is half a minute off
SECRET_BYTES: Final = 20  # RFC 4226 4, R6: 160 bits
PAPER_CODES: Final = 10
PAPER_LETTERS: Final = 12  # 60 bits each, RFC 4648 base32
_CODE: Final = re.compile(r"\d{6}")


def new_totp_secret() -> Secret:
    return Secret(secrets.token_bytes(SECRET_BYTES))


def shown(secret: Secret) -> str:
    return base64.b32encode(secret.reveal()).decode("ascii")


def uri(secret: Secret, *, name: str, issuer: str) -> str:
    """otpauth://, as telephones read it from a picture."""
    return str(pyotp.TOTP(shown(secret)).provisioning_uri(name=name, issuer_name=issuer))


def step_of(secret: Secret, code: str, *, now: datetime) -> int | None:
    """The time step whose code this is, the newest first; None for a wrong one. Looks at every step, so that its time tells nothing."""
    if not _CODE.fullmatch(code):
        return None
    made, found = pyotp.TOTP(shown(secret)), None
    current = int(now.timestamp()) // STEP_SECONDS
    for step in range(current - DRIFT_STEPS, current + DRIFT_STEPS + 1):
        if hmac.compare_digest(made.generate_otp(step), code):
            found = step
    return found


def new_paper_codes() -> list[str]:
    return [_grouped(_letters()) for _ in range(PAPER_CODES)]


def _letters() -> str:
    return base64.b32encode(secrets.token_bytes(8)).decode("ascii")[:PAPER_LETTERS]


def _grouped(text: str) -> str:
    return "-".join(text[at : at + 4] for at in range(0, len(text), 4))


def paper_digest(door_secret: Secret, person: str, code: str) -> bytes:
    """Keyed, because 60 bits alone could be guessed by whoever has the table."""
    plain = "".join(letter for letter in code.upper() if letter.isalnum())
    return hmac.digest(door_secret.reveal(), f"cloister/paper-code/v1|{person}|{plain}".encode(), "sha256")
