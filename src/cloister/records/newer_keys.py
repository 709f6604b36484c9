"""A dossier's newest key, where it came sealed from another zone and nobody of this session's zones has wrapped it yet.

Whoever sealed it must have held every key of the dossier that this session knows: the old ones lie beside it and must be
the same. A certificate and the database's administrator together can thus not slip in a key of their own making.
"""

from __future__ import annotations

from datetime import datetime

from cloister.base.errors import Busy, Denied
from cloister.base.secret import Secret
from cloister.base.wire import Caller
from cloister.identity import learn_signers
from cloister.records import sealed_in
from cloister.records.dossier import Dossier
from cloister.zones import Forged, Keyring, Refusal, algorithms


async def newer_keys(gate: Caller, keyring: Keyring, dossier: Dossier, now: datetime) -> dict[int, Secret]:
    """Key numbers that `dossier` (opened with its older keys) lacks; Busy when only colleagues who write can take them up."""
    found: dict[int, Secret] = {}
    unable = False
    for zone, number, body, made in await gate.call("rekey_coming", dossier=dossier.id):
        if number in dossier.secret:
            continue
        await learn_signers(gate, keyring, [body], now)
        share = sealed_in.verified_share(body, keyring.offices.certificates, keyring.trust_id, datetime.fromisoformat(made))
        if (share.dossier, share.zone) != (dossier.id, zone):
            raise Forged(Refusal.SWAPPED)
        try:
            keys = sealed_in.shared_keys(keyring.open_ingest(zone, share.epoch, share.sealed, share.info))
        except Denied:
            unable = True
            continue
        known = dossier.secret | found
        if not known or not all(no in keys and algorithms.same(keys[no].reveal(), secret.reveal()) for no, secret in known.items()):
            raise Forged(Refusal.COMMITMENT)
        found |= {no: secret for no, secret in keys.items() if no not in dossier.secret}
    if unable and not found:
        raise Busy("This record has just got new keys.", hint="A colleague who writes here takes them up. Try again.", reason="keys-coming")
    return found
