"""Vectors of section 12: commits, their chain, and what they sign. Run: see __main__.py."""

from __future__ import annotations

from typing import Any

from _cast import CAST, DAY, DOSSIER, NOW, OBSERVATION, TRUST, case, flipped, key, made, ms, refused, resigned, signature_cases

from cloister.base.secret import Secret
from cloister.zones import DossierKey, Refusal, algorithms, commits, dossiers, envelope
from cloister.zones.cbor import encoded

SHA = algorithms.sha256
KEY = DossierKey(DOSSIER, 1, Secret(key(40)))
PART = KEY.seal_index_part(0, b"index part")
ROWS = [(f"{OBSERVATION[:-1]}{n}", b"sealed row %d" % n) for n in range(3)]
ENTRIES = [commits.version_entry("Observation", id, 1, False, sealed) for id, sealed in ROWS]
SEED = key(8)


def cases() -> list[dict[str, Any]]:
    return [*single(), *proofs(), *authors(), *chains(), *contents()]


def committed(seq: int, previous: bytes, entries: list[bytes], **changed: Any) -> bytes:
    """A commit by hand, with its proof, so that anything in it can be changed."""
    body = {
        "trust": TRUST,
        "dossier": DOSSIER,
        "seq": seq,
        "previous": previous,
        "count": len(entries),
        "versions": commits.versions_digest(entries),
        "parts": dossiers.parts_root({0: SHA(PART)}),
        "key_no": 1,
        "commitment": KEY.commitment,
        "time": ms(NOW) + seq,
        **changed,
    }
    body["proof"] = algorithms.hmac256(algorithms.hkdf(key(40), "cloister/dossier/v1/proof"), encoded(body))
    return made("cloister/commit/v1", CAST.doctor_signer.id, body, SEED)


FIRST = commits.sign_commit(
    CAST.keyring(),
    KEY,
    seq=1,
    previous=commits.NO_PREVIOUS,
    versions=ENTRIES,
    parts=dossiers.parts_root({0: SHA(PART)}),
    milliseconds=ms(NOW) + 1,
)
SECOND = committed(2, SHA(FIRST), [])


def given(blob: bytes, **changed: Any) -> dict[str, Any]:
    return {
        **CAST.roots_given(),
        "certificates": CAST.certificates(),
        "dossier": DOSSIER,
        "key": key(40),
        "key_no": 1,
        "blob": blob,
        **changed,
    }


def says(blob: bytes) -> dict[str, Any]:
    names = ("dossier", "seq", "previous", "count", "versions", "parts", "key_no", "commitment", "time")
    return {"author": "doctor", "hash": SHA(blob), **{name: envelope.peek_body(blob)[name] for name in names}}


def single() -> list[dict[str, Any]]:
    wrong: dict[str, tuple[Refusal, dict[str, Any]]] = {
        "number 0": (Refusal.MALFORMED, {"seq": 0}),
        "a short previous": (Refusal.MALFORMED, {"previous": b""}),
        "a negative count": (Refusal.MALFORMED, {"count": -1}),
        "another dossier": (Refusal.SWAPPED, {"dossier": DOSSIER[:-1] + "9"}),
    }
    return [
        case("a commit", "commit", given(FIRST), says(FIRST)),
        case("a commit without versions", "commit", given(SECOND), says(SECOND)),
        *signature_cases("commit", given(FIRST), "blob", FIRST, SEED),
        *(refused(f"commit: {name}", "commit", reason, given(resigned(FIRST, SEED, **change))) for name, (reason, change) in wrong.items()),
    ]


def proofs() -> list[dict[str, Any]]:
    """Whoever is certified and has no key of the dossier moves no head, though the signature is genuine."""
    guessed = resigned(FIRST, SEED, proof=bytes(32))
    other = DossierKey(DOSSIER, 1, Secret(key(41)))
    replaced = committed(1, bytes(32), ENTRIES, commitment=other.commitment)
    changed = resigned(FIRST, SEED, count=4)
    return [
        refused("a commit with a guessed proof", "commit", Refusal.COMMITMENT, given(guessed)),
        refused("a commit with another body under its proof", "commit", Refusal.COMMITMENT, given(changed)),
        refused("a commit of another dossier key", "commit", Refusal.COMMITMENT, given(replaced)),
        refused("a commit opened with another key", "commit", Refusal.COMMITMENT, given(FIRST, key=key(41))),
        refused("a commit of another key number", "commit", Refusal.SWAPPED, given(committed(1, bytes(32), ENTRIES, key_no=2))),
    ]


def authors() -> list[dict[str, Any]]:
    doctor = SHA(CAST.doctor_der).hex()
    early, late = committed(1, bytes(32), ENTRIES, time=ms(NOW - DAY)), committed(1, bytes(32), ENTRIES, time=ms(NOW + 400 * DAY))
    day = 86_400_000
    root = resigned(FIRST, key(20), signer="root/access")
    certificates = CAST.certificates()
    return [
        refused("a commit before its author was certified", "commit", Refusal.CERTIFICATE_NOT_YET, given(early)),
        refused("a commit after its author's certificate", "commit", Refusal.CERTIFICATE_EXPIRED, given(late)),
        refused("a commit of a revoked author", "commit", Refusal.CERTIFICATE_REVOKED, given(FIRST, revoked={doctor: None})),
        case("a commit of an author who was revoked later", "commit", given(FIRST, revoked={doctor: ms(NOW) + day}), says(FIRST)),
        refused("a commit of nobody", "commit", Refusal.CERTIFICATE_MISSING, given(FIRST, certificates=certificates[:3])),
        refused("a commit of a root", "commit", Refusal.MALFORMED, given(root)),
    ]


def chains() -> list[dict[str, Any]]:
    third = committed(3, SHA(SECOND), [])
    fork = committed(2, SHA(FIRST), [], time=ms(NOW) + 99)
    whole = [FIRST, SECOND, third]
    facts = {name: value for name, value in given(FIRST).items() if name != "blob"}

    def chain(blobs: list[bytes], known: tuple[int, bytes] | None = None) -> dict[str, Any]:
        return {**facts, "commits": blobs, "known": None if known is None else {"seq": known[0], "hash": known[1]}}

    anew = committed(3, SHA(SECOND), [], key_no=2)
    rekeyed = [FIRST, SECOND, anew, committed(4, SHA(anew), ENTRIES, key_no=2)]
    back = committed(4, SHA(anew), [], key_no=1)
    broken = Refusal.CHAIN_BROKEN
    return [
        case("a chain with new keys", "chain", chain(rekeyed), {"hashes": [SHA(blob) for blob in rekeyed]}),
        refused("new keys in a commit that writes", "chain", broken, chain([FIRST, committed(2, SHA(FIRST), ENTRIES, key_no=2)])),
        refused("new keys with one left out", "chain", broken, chain([FIRST, committed(2, SHA(FIRST), [], key_no=3)])),
        refused("old keys after new ones", "chain", broken, chain([*rekeyed[:3], back])),
        case("a chain", "chain", chain(whole), {"hashes": [SHA(blob) for blob in whole]}),
        case("a chain of none", "chain", chain([]), {"hashes": []}),
        case("a chain seen before", "chain", chain(whole, (2, SHA(SECOND))), {"hashes": [SHA(blob) for blob in whole]}),
        refused("a chain without its first", "chain", broken, chain(whole[1:])),
        refused("a chain without its middle", "chain", broken, chain([FIRST, third])),
        refused("a chain in another order", "chain", broken, chain([SECOND, FIRST])),
        refused("a chain with one twice", "chain", broken, chain([FIRST, FIRST])),
        refused("a chain with another second", "chain", broken, chain([FIRST, fork, third])),
        refused("a chain that was shorter than known", "chain", Refusal.ROLLED_BACK, chain(whole[:1], (2, SHA(SECOND)))),
        refused("another chain than known", "chain", broken, chain([FIRST, fork], (2, SHA(SECOND)))),
    ]


def contents() -> list[dict[str, Any]]:
    rows = [{"type": "Observation", "id": id, "version": 1, "deleted": False, "sealed": sealed} for id, sealed in ROWS]
    facts = given(FIRST)
    deleted = [{**rows[0], "deleted": True}, *rows[1:]]
    other = [{**rows[0], "sealed": flipped(ROWS[0][1])}, *rows[1:]]
    part = {"0": PART}
    return [
        case("the versions of a commit", "commit-versions", {**facts, "rows": rows}, {}),
        case("the versions in another order", "commit-versions", {**facts, "rows": rows[::-1]}, {}),
        refused("a version missing", "commit-versions", Refusal.MISSING_ROW, {**facts, "rows": rows[1:]}),
        refused("a version too many", "commit-versions", Refusal.EXTRA_ROW, {**facts, "rows": [*rows, rows[0]]}),
        refused("another version", "commit-versions", Refusal.SWAPPED, {**facts, "rows": other}),
        refused("a version said to be deleted", "commit-versions", Refusal.SWAPPED, {**facts, "rows": deleted}),
        case("the parts of a commit", "commit-parts", {**facts, "parts": part}, {}),
        refused("another part", "commit-parts", Refusal.PARTS, {**facts, "parts": {"0": flipped(PART)}}),
        refused("a part missing", "commit-parts", Refusal.PARTS, {**facts, "parts": {}}),
        refused("a part too many", "commit-parts", Refusal.PARTS, {**facts, "parts": {**part, "1": PART}}),
        refused("a part in another's place", "commit-parts", Refusal.PARTS, {**facts, "parts": {"1": PART}}),
    ]
