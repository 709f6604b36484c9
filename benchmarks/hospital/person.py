"""A person's sign-in as their browser does it: verifier to the door, unlock secret sealed to the session."""

from __future__ import annotations

import base64
from typing import Any

import httpx

from benchmarks.trust import BenchTrust
from cloister.cli.key_bound import KeyBound
from cloister.zones import algorithms, unlockers


async def signed_in(trust: BenchTrust, sign_in: str, passphrase: str) -> httpx.AsyncClient:
    """A client that holds the ticket of an unlocked session."""
    bound = KeyBound()
    client = httpx.AsyncClient(
        auth=bound, verify=trust.tls(), trust_env=False, base_url=trust.base, timeout=30, headers={"origin": trust.base}
    )
    start: dict[str, Any] = (await client.post("/login/start", json={"sign_in": sign_in})).raise_for_status().json()
    kek, verifier = unlockers.passphrase_secrets(passphrase, start["passphrase"])
    bound.nonce = start["flow"]
    body = {"flow": start["flow"], "verifier": base64.b64encode(verifier).decode()}
    proven: dict[str, Any] = (await client.post("/login/passphrase", json=body)).raise_for_status().json()
    sealed = algorithms.kem_seal(base64.b64decode(proven["public_key"]), kek.reveal(), unlockers.session_unlock_info(proven["session"]))
    message = {"unlocker": proven["unlocker"]["id"], "sealed": base64.b64encode(sealed).decode()}
    (await client.post("/session/unlock", json=message)).raise_for_status()
    return client
