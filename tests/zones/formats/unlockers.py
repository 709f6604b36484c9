"""How the formats of section 5 are opened here."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path
from typing import Any

from cloister.assemble import sealed_roots
from cloister.base.secret import Secret
from cloister.web.enrolment import INFO
from cloister.zones import algorithms, unlockers


def raw(text: str) -> bytes:
    return bytes.fromhex(text)


def passphrase(given: dict[str, Any]) -> dict[str, Any]:
    kek, verifier = unlockers.passphrase_secrets(given["passphrase"], given["params"])
    return {"kek": kek.reveal(), "verifier": verifier, "stored": unlockers.stored_verifier(verifier)}


def passkey(given: dict[str, Any]) -> dict[str, Any]:
    return {"salt": unlockers.PRF_SALT, "kek": unlockers.passkey_kek(raw(given["prf"])).reveal()}


def service(given: dict[str, Any]) -> dict[str, Any]:
    kek, verifier = unlockers.service_secrets(raw(given["secret"]))
    return {"kek": kek.reveal(), "verifier": verifier}


def unlocker(given: dict[str, Any]) -> dict[str, Any]:
    row = unlockers.Unlocker(given["id"], given["person"], given["kind"], given["params"], raw(given["sealed"]))
    return {"unlock_key": unlockers.unwrap_unlock_key(Secret(raw(given["kek"])), row).reveal()}


def session_unlock(given: dict[str, Any]) -> dict[str, Any]:
    info = unlockers.session_unlock_info(given["session"])
    return {"kek": algorithms.kem_open(raw(given["seed"]), raw(given["sealed"]), info)}


def enrolment(given: dict[str, Any]) -> dict[str, Any]:
    plain = algorithms.kem_open(raw(given["seed"]), raw(given["sealed"]), INFO + given["flow"].encode())
    return {"known": plain[:32], "new": plain[32:]}


def sealed_root(given: dict[str, Any]) -> dict[str, Any]:
    held = sealed_roots.SealedRoot(
        form=sealed_roots.FORM,
        trust=given["trust"],
        root=given["root"],
        params=given["params"],
        sealed=base64.b64encode(raw(given["sealed"])).decode(),
    )
    with tempfile.TemporaryDirectory() as folder:
        sealed_roots.write_roots(Path(folder), [held])
        seed = sealed_roots.open_root(Path(folder), given["root"], given["passphrase"], trust=given["trust"]).reveal()
    return {"seed": seed, "public": algorithms.sign_public(seed)}


FORMATS = {
    "passphrase": passphrase,
    "passkey": passkey,
    "service": service,
    "unlocker": unlocker,
    "session-unlock": session_unlock,
    "enrolment": enrolment,
    "sealed-root": sealed_root,
}
