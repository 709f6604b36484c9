"""Who is put out of a running session, and what they read: for some seconds a process without keys still answers with it."""

from __future__ import annotations

from typing import Final

REVOKED: Final = "revoked"
OTHER_WAY: Final = "Sign in another way, or ask the certificate officer."
# Reasons of ends, as the gate and the door give them: {reason: (sentence, next step)}.
TOLD: Final = {
    REVOKED: ("Your access was ended.", "Ask an officer of your hospital: it was revoked."),
    "certificate-revoked": ("Your card was revoked or suspended.", OTHER_WAY),
    "certificate-refused": ("Your card's certificate has ended, or its authority is not known here any more.", OTHER_WAY),
    "certificate-removed": ("Your card is not registered for you any more.", OTHER_WAY),
    "directory-account-closed": ("Your account in the hospital's directory was closed.", "Ask IT, or whoever looks after that directory."),
}
