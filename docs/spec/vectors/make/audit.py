"""Vectors of section 14: sealed entries, data keys, checkpoints, witnesses, and what is on record. Run: see __main__.py."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from _cast import DAY, NOW, TRUST, case, flipped, key, ms, refused
from tree import path, root

from cloister.audit import Entry, checkpoint, entry, sealed_entry
from cloister.zones import Refusal, algorithms, audit_keys

OFFICE = audit_keys.PrivacyOffice(audit_keys.office_name(1), algorithms.kem_public(key(80)))
DATA_KEY = audit_keys.new_data_key(TRUST, 7, NOW, OFFICE)
READ = Entry(NOW, "doctor", "session-1", "read", "Observation", "0193fd6e", "success", "", "10.0.0.1", "dossier-1", "3")
SIGNED = [Entry(NOW, "officer", "session-2", "trust-object", "grant", algorithms.sha256(bytes([n])).hex(), "success") for n in range(5)]
LOG = audit_keys.log_signer(TRUST, key(81))
WITNESS = audit_keys.witness_signer("witness.example", key(82))


def microseconds(one: Any) -> int:
    return int((one - entry.EPOCH) / timedelta(microseconds=1))


def cases() -> list[dict[str, Any]]:
    return [*data_keys(), *entries(), *checkpoints(), *on_record()]


def data_keys() -> list[dict[str, Any]]:
    given = {
        "trust": TRUST,
        "number": 7,
        "office": OFFICE.name,
        "seed": key(80),
        "sealed": DATA_KEY.sealed,
        "what": "actor",
        "text": "doctor",
    }
    wrong: dict[str, dict[str, Any]] = {
        "another office's": {"office": "privacy-office/2"},
        "another number": {"number": 8},
        "another trust's": {"trust": "trust-2"},
        "another's key": {"seed": key(81)},
        "cut short": {"sealed": DATA_KEY.sealed[:-1]},
    }
    return [
        case("a data key", "audit-data-key", given, {"token": DATA_KEY.token("actor", "doctor")}),
        case("nothing has token 0", "audit-data-key", {**given, "text": ""}, {"token": 0}),
        *(refused(f"a data key: {name}", "audit-data-key", Refusal.TAG, {**given, **change}) for name, change in wrong.items()),
    ]


def sealed_given(one: Entry) -> tuple[dict[str, Any], Any]:
    sealed = sealed_entry(one, "session@1f2e3d4c", 12, DATA_KEY)
    shared = {"trust": TRUST, "office": OFFICE.name, "seed": key(80), "data_key": DATA_KEY.sealed}
    clear = {
        "at": microseconds(sealed.at),
        "source": sealed.source,
        "number": sealed.number,
        "category": sealed.category,
        "named": sealed.named,
    }
    return {
        **shared,
        **clear,
        "key": 7,
        "actor": sealed.actor,
        "object": sealed.object,
        "patient": sealed.patient,
        "body": sealed.body,
    }, sealed


def entries() -> list[dict[str, Any]]:
    given, sealed = sealed_given(READ)
    signed, named = sealed_given(SIGNED[0])
    names = ("actor", "session", "action", "kind", "object", "outcome", "reason", "source", "patient", "turn")
    texts = {name: getattr(READ, name) for name in names}
    other = {name: getattr(SIGNED[0], name) for name in names}
    opened = algorithms.kem_open(key(80), DATA_KEY.sealed, audit_keys._info(TRUST, 7, OFFICE.name))
    seal = algorithms.Aead(algorithms.hkdf(opened, "cloister/audit-key/v1/seal")).seal
    wrong: dict[str, tuple[str, dict[str, Any]]] = {
        "another time": (Refusal.TAG, {"at": given["at"] + 1}),
        "another source": (Refusal.TAG, {"source": "session@00000000"}),
        "another number": (Refusal.TAG, {"number": 13}),
        "another category": (Refusal.TAG, {"category": "session"}),
        "a changed body": (Refusal.TAG, {"body": flipped(sealed.body)}),
        "texts cut short": ("entry", {"body": seal(bytes((0, 9)) + b"x", sealed.clear())}),
        "a text that is not UTF-8": ("entry", {"body": seal(bytes((0, 1, 0xFF)) + bytes(61), sealed.clear())}),
        "padding that is not zeros": ("entry", {"body": seal(bytes(63) + b"x", sealed.clear())}),
    }
    return [
        case("an entry", "audit-entry", given, {"texts": texts, "leaf": sealed.leaf()}),
        case("an entry of a signed object", "audit-entry", signed, {"texts": other, "leaf": named.leaf()}),
        *(case(f"an entry: {name}", "audit-entry", {**given, **change}, expect=reason) for name, (reason, change) in wrong.items()),
    ]


def checkpoints() -> list[dict[str, Any]]:
    signed = checkpoint.signed_checkpoint(LOG.key.name, 7, key(1), NOW, [LOG])
    note = signed.note + WITNESS.cosignature(checkpoint.checkpoint_text(LOG.key.name, 7, key(1), NOW), 1_795_352_401)
    other = checkpoint.signed_checkpoint(LOG.key.name, 8, key(1), NOW, [LOG]).note
    elsewhere = audit_keys.log_signer("trust-2", key(81))
    given = {"trust": TRUST, "public": LOG.key.public, "note": note}
    body, _, lines = note.partition("\n\n")
    wrong: dict[str, tuple[str, dict[str, Any]]] = {
        "another key": ("signature", {"public": WITNESS.key.public}),
        "another trust's": ("origin", {"note": checkpoint.signed_checkpoint(elsewhere.key.name, 7, key(1), NOW, [elsewhere]).note}),
        "another size": ("signature", {"note": note.replace("\n7\n", "\n8\n")}),
        "another's signature": ("signature", {"note": body + "\n\n" + other.partition("\n\n")[2]}),
        "unsigned": ("signature", {"note": body + "\n\n" + lines.splitlines(keepends=True)[1]}),
        "a size with a zero before": ("checkpoint", {"note": note.replace("\n7\n", "\n07\n")}),
        "a line more": ("checkpoint", {"note": note.replace("\n7\n", "\n7\nx\n")}),
        "without signatures": ("note", {"note": body}),
        "cut short": ("note", {"note": note[:-1]}),
        "nothing": ("note", {"note": ""}),
    }
    seen = {"name": "witness.example", "public": WITNESS.key.public, "note": note}
    return [
        case("a checkpoint", "checkpoint", given, {"size": 7, "root": key(1), "time": ms(NOW) // 1000}),
        *(case(f"a checkpoint: {name}", "checkpoint", {**given, **change}, expect=reason) for name, (reason, change) in wrong.items()),
        case("a witness", "witnessed", seen, {"time": 1_795_352_401}),
        case("a witness that did not sign", "witnessed", {**seen, "note": signed.note}, expect="signature"),
        case("another witness's key", "witnessed", {**seen, "public": LOG.key.public}, expect="signature"),
        case("a witness of another checkpoint", "witnessed", {**seen, "note": note.replace("\n7\n", "\n8\n")}, expect="signature"),
    ]


def on_record() -> list[dict[str, Any]]:
    sealed = [sealed_entry(one, "gate@1", number, DATA_KEY) for number, one in enumerate(SIGNED, start=1)]
    leaves = [one.leaf() for one in sealed]
    signed = checkpoint.signed_checkpoint(LOG.key.name, 5, root(leaves), NOW, [LOG])
    rows = [
        [one.named, place, microseconds(one.at), one.source, one.number, one.category, one.private_hash()]
        for place, one in enumerate(sealed)
    ]
    nodes: list[bytes] = []
    paths = []
    for place in range(5):
        found = path(leaves, place)
        paths.append(list(range(len(nodes), len(nodes) + len(found))))
        nodes += found
    proofs = {"note": signed.note, "entries": rows, "paths": paths, "nodes": nodes}
    given = {"trust": TRUST, "public": LOG.key.public, "now": ms(NOW), "proofs": proofs}
    other = [rows[0][:0] + [bytes(32), *rows[0][1:]], *rows[1:]]
    moved = [[rows[0][0], 1, *rows[0][2:]], *rows[1:]]
    renamed = [[*rows[0][:5], "record", rows[0][6]], *rows[1:]]
    absent = Refusal.NOT_IN_AUDIT
    wrong: dict[str, tuple[str, dict[str, Any]]] = {
        "another object": (absent, {"proofs": {**proofs, "entries": other}}),
        "another place": (absent, {"proofs": {**proofs, "entries": moved}}),
        "an entry of another category": (absent, {"proofs": {**proofs, "entries": renamed}}),
        "a changed node": (absent, {"proofs": {**proofs, "nodes": [flipped(nodes[0]), *nodes[1:]]}}),
        "a node that is not there": (absent, {"proofs": {**proofs, "nodes": nodes[:1]}}),
        "fewer paths than entries": (Refusal.MALFORMED, {"proofs": {**proofs, "paths": paths[:-1]}}),
        "without nodes": (Refusal.MALFORMED, {"proofs": {name: one for name, one in proofs.items() if name != "nodes"}}),
        "an entry cut short": (Refusal.MALFORMED, {"proofs": {**proofs, "entries": [row[:6] for row in rows]}}),
        "a checkpoint of eleven minutes ago": (Refusal.AUDIT_STALE, {"now": ms(NOW + timedelta(minutes=11))}),
        "another log's checkpoint": ("signature", {"public": WITNESS.key.public}),
    }
    return [
        case("on record", "on-record", given, {"hashes": sorted(row[0].hex() for row in rows)}),
        case(
            "a checkpoint of nine minutes ago",
            "on-record",
            {**given, "now": ms(NOW + DAY / 160)},
            {"hashes": sorted(row[0].hex() for row in rows)},
        ),
        *(case(f"on record: {name}", "on-record", {**given, **change}, expect=reason) for name, (reason, change) in wrong.items()),
    ]
