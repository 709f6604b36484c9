"""One officer's word that a restored database is meant: signed with the officer's own keys, opened here with the passphrase.

Needs the database and nothing else, because the trust does not serve anybody until two have signed.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg

from cloister.assemble import restored
from cloister.assemble.postgres import owner_connection
from cloister.assemble.roots import pinned_roots
from cloister.base.errors import Conflict, Corrupt, Denied, NotFound
from cloister.base.settings import Settings
from cloister.zones import bundle, envelope, restores, unlockers

OFFICER: Final = """
    select p.id, u.id as unlocker, u.params::text as params, u.sealed, i.sealed_private, i.certificate
      from trust.person p join trust.identity i on i.person = p.id join trust.unlocker u on u.person = p.id and u.kind = 'passphrase'
     where p.sign_in = $1 and not p.disabled limit 1"""


async def sign_restore(settings: Settings, officer: str, reason: str, passphrase: str) -> str:
    """What to say afterwards; Denied for a wrong passphrase, or somebody who holds neither office."""
    connection = await owner_connection(settings)
    try:
        found = await restored.broken(settings, connection)
        if found is None:
            raise Conflict("The database is not older than its witnesses: there is nothing to accept.", reason="not-restored")
        signer = await _signer(connection, officer, passphrase)
        roots, now = pinned_roots(settings), datetime.now(UTC)
        lost, kept = found.heads
        word = restores.restore(signer, trust=roots.trust_id, lost=lost, found=kept, reason=reason, at=now)
        made = restores.verified_restore(word, await restored.offices_of(connection, roots), now)
        await connection.execute(restored.ADD_WORD, made.hash, word)
        both = await restored.words_for(connection, roots, found)
    finally:
        await connection.close()
    if both:
        return "Both officers have signed. The start goes on, and their words go into the audit log."
    other = "an access officer" if made.certifies else "a certificate officer"
    return f"Signed. Now {other} must sign too."


async def _signer(connection: asyncpg.Connection[Any], officer: str, passphrase: str) -> envelope.Signer:
    row = await connection.fetchrow(OFFICER, officer.strip().lower())
    if row is None:
        raise NotFound(f"Nobody signs in as '{officer[:60]}' with a passphrase.", reason="officer")
    params = json.loads(row["params"])
    kek, _ = unlockers.passphrase_secrets(passphrase, params)
    stored = unlockers.Unlocker(row["unlocker"], row["id"], "passphrase", params, bytes(row["sealed"]))
    try:
        private = bundle.open_bundle(row["id"], bytes(row["sealed_private"]), unlockers.unwrap_unlock_key(kek, stored))
    except Corrupt:
        raise Denied("This passphrase does not open the officer's keys.", hint="Try again.", reason="wrong-secret") from None
    return envelope.person_signer(bytes(row["certificate"]), private.signing)
