"""A session believes nothing that was never put on record, however well it is signed. docs/spec/zones.md 14.5."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from store_rig import CARDIOLOGY, VASSEUR, Rig, Session

from cloister.base.errors import Corrupt, Denied
from cloister.server.opening import trust_material
from cloister.zones import Refusal, TrustMaterial, TrustRoots, algorithms, audit_keys, inclusion


@pytest.fixture
async def rows(vasseur: Session) -> dict[str, Any]:
    return dict(await vasseur.gate.call("trust_material"))


def refusals(material: TrustMaterial, trust: TrustRoots) -> set[Refusal]:
    return {reason for _, reason in inclusion.on_record(material, trust, datetime.now(UTC))[1]}


async def test_everything_of_the_founding_is_on_record(trust: Rig, rows: dict[str, Any]) -> None:
    material = trust_material(rows)
    began = time.perf_counter()
    kept, refused = inclusion.on_record(material, trust.trust, datetime.now(UTC))
    assert time.perf_counter() - began < 0.1
    assert refused == []
    assert [*kept.grants] == [*material.grants] != []


async def test_a_grant_that_was_slipped_into_the_database_is_refused_by_name(trust: Rig, vasseur: Session) -> None:
    """Even one that the access root signed: here an older grant's bytes under a new hash would do."""
    database = await trust.connect()
    row = await database.fetchrow('select * from trust."grant" where person = $1 and zone = $2', VASSEUR.id, CARDIOLOGY)
    forged = bytes(row["body"])[:-1] + bytes([row["body"][-1] ^ 1])
    await database.execute(
        'insert into trust."grant" (hash, zone, person, seq, body) values ($1, $2, $3, 99, $4)',
        algorithms.sha256(forged), CARDIOLOGY, VASSEUR.id, forged,
    )  # fmt: skip
    try:
        material = trust_material(await vasseur.gate.call("trust_material"))
        kept, refused = inclusion.on_record(material, trust.trust, datetime.now(UTC))
        assert refused == [(algorithms.sha256(forged).hex(), Refusal.NOT_IN_AUDIT)]
        assert forged not in [*kept.grants]
    finally:
        await database.execute('delete from trust."grant" where hash = $1', algorithms.sha256(forged))
        await database.close()


async def test_every_kind_of_signed_object_must_be_on_record(trust: Rig, rows: dict[str, Any]) -> None:
    material = trust_material(rows)
    for name in ("certificates", "mandates", "grants", "zones", "epochs"):
        extra = replace(material, **{name: [*getattr(material, name), b"signed by whomever"]})
        assert refusals(extra, trust.trust) == {Refusal.NOT_IN_AUDIT}, name
    for ends in ("revocations", "revoked_grants"):
        assert refusals(replace(material, **{ends: [bytes(32)]}), trust.trust) == set(), "refusing is safe without a record"


async def test_proofs_that_were_tampered_with_prove_nothing(trust: Rig, rows: dict[str, Any]) -> None:
    material = trust_material(rows)
    proofs = material.proofs
    assert proofs is not None
    hashed, *rest = proofs["entries"][0]
    for change in (
        {"entries": [[bytes(32), *rest], *proofs["entries"][1:]]},
        {"entries": [[hashed, rest[0] + 1, *rest[1:]], *proofs["entries"][1:]]},
        {"entries": [[hashed, *rest[:4], "record", rest[5]], *proofs["entries"][1:]]},
        {"nodes": [bytes(32) for _ in proofs["nodes"]]},
        {"note": proofs["note"].replace("\n\u2014", "\nA", 1)},
    ):
        with pytest.raises(Corrupt):
            inclusion.on_record(replace(material, proofs={**proofs, **change}), trust.trust, datetime.now(UTC))
    with pytest.raises(Denied) as refused:
        inclusion.on_record(replace(material, proofs=None), trust.trust, datetime.now(UTC))
    assert refused.value.reason == Refusal.NOT_IN_AUDIT
    other = replace(trust.trust, audit=audit_keys.AuditPin(algorithms.sign_public(bytes(32))))
    with pytest.raises(Corrupt):
        inclusion.on_record(material, other, datetime.now(UTC))


async def test_a_checkpoint_that_is_too_old_is_refused_with_what_to_look_at(trust: Rig, rows: dict[str, Any]) -> None:
    with pytest.raises(Denied) as refused:
        inclusion.on_record(trust_material(rows), trust.trust, datetime.now(UTC) + timedelta(minutes=11))
    assert refused.value.reason == Refusal.AUDIT_STALE
    assert "clock" in refused.value.hint


async def test_a_session_may_not_put_anything_on_record_itself(vasseur: Session) -> None:
    note = {"action": "trust-object", "kind": "grant", "object": "00" * 32}
    with pytest.raises(Denied) as refused:
        await vasseur.gate.call("audit_append", entries=[note])
    assert refused.value.reason == "audit-entry"
    with pytest.raises(Denied):
        await vasseur.gate.call("zones", audit=[note])


async def test_a_colleagues_certificate_that_was_never_put_on_record_makes_no_author(trust: Rig, vasseur: Session) -> None:
    """Certified by whomever: what such a person wrote, shared or approved is refused by name."""
    database = await trust.connect()
    hashed = bytes(
        await database.fetchval("select hash from trust.certificate where person <> $1 and person is not null limit 1", VASSEUR.id)
    )
    await database.close()
    found = await vasseur.gate.call("certificates", hashes=[hashed])
    keyring = vasseur.keyring
    keyring._certificates._ders.pop(hashed, None)
    keyring._certificates._verified.pop(hashed, None)
    nothing = {**found["proofs"], "entries": [], "paths": []}
    keyring.learn({**found, "proofs": nothing}, datetime.now(UTC))
    with pytest.raises(Denied) as refused:
        keyring.author(hashed)
    assert refused.value.reason == Refusal.NOT_IN_AUDIT
    keyring.learn(found, datetime.now(UTC))
    assert keyring.author(hashed).hash == hashed
