"""The keys of the audit log on this machine: two that sign its checkpoints, whose public halves are pinned beside the roots.

Spec: docs/spec/zones.md 14. The private halves are in the store gate's process only. To whom entries are sealed is asked of
the database and believed only as far as the access office signed it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final

from cloister.assemble.folders import seed_file
from cloister.assemble.roots import audit_key, pinned_roots
from cloister.audit import Checkpoint, DataKey, NoteKey, store, verified_checkpoint
from cloister.base.errors import CloisterError, Corrupt
from cloister.base.settings import Settings
from cloister.records.gate import AuditKeys
from cloister.zones import TrustRoots, algorithms, audit_keys, certificates, envelope, grants, teams

SEED: Final = "audit.key"
STRONG_SEED: Final = "audit-ml-dsa.key"
NewDataKey = Callable[[store.Fetch, int, datetime], Awaitable[DataKey]]
TEAMS: Final = "select body from trust.team where id = $1 order by generation desc limit 1000"
CERTIFICATES: Final = """
    select der from trust.certificate where person in (select person from trust.mandate)
        or hash = any (select decode(signer, 'hex') from unnest($1::text[]) signer) limit 10000"""
MANDATES: Final = "select body from trust.mandate limit 10000"


def public_keys(settings: Settings) -> dict[str, str]:
    """What is pinned at the founding; makes the two keys when they are missing."""
    return {
        "audit": algorithms.SignPrivate(seed_file(settings, SEED).reveal()).public.hex(),
        "audit_ml_dsa": algorithms.MlDsaPrivate(seed_file(settings, STRONG_SEED).reveal()).public.hex(),
    }


def keys_of_log(settings: Settings) -> AuditKeys:
    """For the store gate. Reads everything now: later it has no right to."""
    trust = pinned_roots(settings).trust_id
    _, new_data_key = far_log(settings)
    return AuditKeys(
        audit_keys.log_signer(trust, seed_file(settings, SEED).reveal()),
        audit_keys.log_signer_65(trust, seed_file(settings, STRONG_SEED).reveal()),
        new_data_key,
    )


def far_log(settings: Settings) -> tuple[NoteKey, NewDataKey]:
    """For the gate of a server: by which key the log is believed, and what makes this gate's own data keys. No signing key."""
    roots = pinned_roots(settings)
    trust = roots.trust_id

    async def new_data_key(fetch: store.Fetch, number: int, begins: datetime) -> DataKey:
        return audit_keys.new_data_key(trust, number, begins, await privacy_office(fetch, roots))

    return audit_keys.log_key(trust, audit_key(settings)), new_data_key


async def privacy_office(fetch: store.Fetch, roots: TrustRoots) -> audit_keys.PrivacyOffice:
    """The newest generation of the privacy office's team that the access office signed; Corrupt when there is none."""
    blobs = [bytes(row[0]) for row in await fetch(TEAMS, audit_keys.OFFICE_TEAM)]
    signers = [envelope.peek_signer(blob) for blob in blobs]
    ders = await fetch(CERTIFICATES, [one for one in signers if one != envelope.ROOT_ACCESS])
    offices = grants.Offices(
        roots, certificates.Certificates(roots, [bytes(row[0]) for row in ders], {}), [bytes(row[0]) for row in await fetch(MANDATES)]
    )
    found = _newest(blobs, offices)
    if found is None:
        raise Corrupt(
            "The privacy office's key does not verify, so that no audit entry can be sealed.",
            hint="Compare the table trust.team with a backup.",
            reason="privacy-office",
        )
    return audit_keys.PrivacyOffice(audit_keys.office_name(found.generation), found.kem_public)


def _newest(blobs: Sequence[bytes], offices: grants.Offices) -> teams.Team | None:
    best: teams.Team | None = None
    for blob in blobs:
        try:
            found = teams.verified_team(blob, offices)
            offices.access_key(found.signer, zone=found.hospital, now=found.made)
        except CloisterError:
            continue
        if found.team == audit_keys.OFFICE_TEAM and (best is None or found.generation > best.generation):
            best = found
    return best


def verify_checkpoint(settings: Settings, note: str) -> Checkpoint:
    """The checkpoint, when this trust's gate signed it; raises Corrupt otherwise."""
    return verified_checkpoint(note, audit_keys.log_key(pinned_roots(settings).trust_id, audit_key(settings)))
