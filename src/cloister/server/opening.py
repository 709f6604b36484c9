"""Opening a person's keys inside their session: from the sealed unlock message to a verified keyring. zones.md 2.

Pure: rows in, keyring out. A wrong secret is refused by name; nothing says how wrong it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from cloister.access import Actor
from cloister.base.errors import Corrupt, Denied, NotFound
from cloister.base.secret import Secret
from cloister.zones import Keyring, TrustMaterial, TrustRoots, bundle, unlockers

PUBLIC_ROWS: Final = ("trust", "hospitals", "wards", "zones", "people", "person")
LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Opened:
    """One person's keys and who they are, for as long as the session is unlocked."""

    keyring: Keyring
    actor: Actor
    directory: dict[str, Any]  # rows of PUBLIC_ROWS: names of people, wards and hospitals
    card: str = ""  # the name of the card's key that opened them, so that the pages end with the card


def opened(rows: Mapping[str, Any], *, person: str, session: str, unlocker: str, kek: Secret, trust: TrustRoots, now: datetime) -> Opened:
    """Raises Denied(wrong-secret) for a wrong secret, NotFound for an unlocker of nobody or of somebody else."""
    unlock_key = _unlock_key(rows, person, unlocker, kek)
    try:
        private = bundle.open_bundle(person, bytes(rows["identity"]["sealed_private"]), unlock_key)
    except Corrupt:
        raise Corrupt("Your private keys are not what was stored.", hint="Ask IT; do not try again.", reason="bundle") from None
    actor = actor_of(rows, person=person, session=session)
    keyring = Keyring.open(bundle=private, trust=trust, material=trust_material(rows), now=now)
    return Opened(keyring, actor, {name: rows[name] for name in PUBLIC_ROWS if name in rows}, _card(rows, unlocker))


def _unlock_key(rows: Mapping[str, Any], person: str, unlocker: str, kek: Secret) -> Secret:
    for row in rows["unlockers"]:
        if row["id"] == unlocker:
            stored = unlockers.Unlocker(row["id"], person, row["kind"], dict(row["params"]), bytes(row["sealed"]))
            break
    else:
        raise NotFound("You have no such way to unlock.", hint="Sign in again.", reason="unlocker")
    try:
        return unlockers.unwrap_unlock_key(kek, stored)
    except Corrupt:
        raise Denied("This did not unlock your keys.", hint="Try again.", reason="wrong-secret") from None


def _card(rows: Mapping[str, Any], unlocker: str) -> str:
    found = (row["params"]["key"] for row in rows["unlockers"] if row["id"] == unlocker and row["kind"] == unlockers.UnlockerKind.CARD)
    return str(next(found, ""))


def trust_material(rows: Mapping[str, Any]) -> TrustMaterial:
    """The gate's rows in the form the keyring verifies. A revocation without a moment counts from the beginning."""
    return TrustMaterial(
        certificates=[bytes(row["der"]) for row in rows["certificates"]],
        mandates=[bytes(row["body"]) for row in rows["mandates"]],
        grants=[bytes(row["body"]) for row in rows["grants"]],
        zones=[bytes(row["body"]) for row in rows["zones"]],
        epochs=[bytes(row["body"]) for row in rows["epochs"]],
        revoked_certificates=dict(_revocation(entry) for entry in rows["revoked"]),
        revocations=[bytes(body) for body in rows.get("revocations", ())],
        proofs=rows.get("proofs"),
        countersignatures=[bytes(body) for body in rows.get("countersignatures", ())],
        revoked_grants=[bytes(row["hash"]) for row in rows["grants"] if row["revoked"]],
        teams=[bytes(row["body"]) for row in rows.get("teams", ())],
        memberships=[bytes(row["body"]) for row in rows.get("memberships", ())],
        revoked_memberships=[bytes(row["hash"]) for row in rows.get("memberships", ()) if row["revoked"]],
    )


def _revocation(entry: Any) -> tuple[bytes, datetime]:
    if isinstance(entry, bytes):
        return entry, LONG_AGO
    hashed, moment = entry
    return bytes(hashed), datetime.fromisoformat(moment)


def actor_of(rows: Mapping[str, Any], *, person: str, session: str) -> Actor:
    row = rows["person"]
    if row["id"] != person:
        raise Corrupt("The store answered for another person.", reason="person")
    language = row["language"] or "en"
    return Actor(person=person, name=row["name"], role=row["role"], hospital=row["hospital"], session=session, language=language)
