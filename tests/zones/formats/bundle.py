"""How the format of section 6 is opened here."""

from __future__ import annotations

from typing import Any

from cloister.base.secret import Secret
from cloister.zones import bundle


def opened(given: dict[str, Any]) -> dict[str, Any]:
    found = bundle.open_bundle(given["person"], bytes.fromhex(given["sealed"]), Secret(bytes.fromhex(given["unlock_key"])))
    return {
        "kem_seed": found.kem_seed.reveal(),
        "sign_seed": found.sign_seed.reveal(),
        "kem_public": found.kem_public,
        "sign_public": found.sign_public,
    }


FORMATS = {"bundle": opened}
