"""Vectors of section 25: teams, memberships, and keyrings that open through them. Run: see __main__.py."""

from __future__ import annotations

from typing import Any

from _cast import CAST, DAY, NOW, TRUST, ZONE, case, flipped, key, ms, refused, resigned, signature_cases

from cloister.base.secret import Secret
from cloister.zones import Refusal, algorithms, envelope, teams

SHA = algorithms.sha256
SEED, ACCESS = key(70), key(24)
TEAM = teams.team_record(
    CAST.root_signer,
    trust=TRUST,
    team="nights",
    generation=1,
    name="Nights",
    hospital="hospital-1",
    kem_public=algorithms.kem_public(SEED),
    made=NOW,
)


def member(**changed: Any) -> bytes:
    terms = {
        "trust": TRUST,
        "team": "nights",
        "generation": 1,
        "person": "doctor",
        "certificate": SHA(CAST.doctor_der),
        "kem_public": CAST.doctor.kem_public,
        "team_seed": Secret(SEED),
        "not_before": NOW,
        "live_until": NOW + DAY,
        "reason": "On the rota",
        **changed,
    }
    return teams.membership(terms.pop("signer", CAST.access_signer), **terms)


def granted(**changed: Any) -> bytes:
    terms = {"person": "team:nights", "certificate": SHA(TEAM), "kem_public": algorithms.kem_public(SEED), **changed}
    return CAST.granted(**terms)


MEMBER, GRANT = member(), granted()


def cases() -> list[dict[str, Any]]:
    return [*records(), *memberships(), *keyrings()]


def base(blob: bytes) -> dict[str, Any]:
    return {**CAST.roots_given(), "certificates": CAST.certificates(), "mandates": CAST.mandates, "blob": blob}


def records() -> list[dict[str, Any]]:
    body = envelope.peek_body(TEAM)
    says = {name: body[name] for name in ("team", "generation", "name", "hospital", "kem", "made")}
    wrong = {"generation 0": {"generation": 0}, "a short key": {"kem": bytes(1215)}}
    return [
        case("a team", "team", base(TEAM), {**says, "hash": SHA(TEAM)}),
        *signature_cases("team", base(TEAM), "blob", TEAM, key(20)),
        *(refused(f"team: {name}", "team", Refusal.MALFORMED, base(resigned(TEAM, key(20), **change))) for name, change in wrong.items()),
    ]


def memberships() -> list[dict[str, Any]]:
    body = envelope.peek_body(MEMBER)
    names = ("team", "generation", "person", "certificate", "keeps", "not_before", "live_until", "reason")
    given = {**base(MEMBER), "kem_seed": key(7)}
    other = envelope.peek_body(member(signer=CAST.root_signer))["sealed"]
    wrong: dict[str, tuple[Refusal, dict[str, Any]]] = {
        "keeping that is neither 0 nor 1": (Refusal.MALFORMED, {"keeps": 2}),
        "generation 0": (Refusal.MALFORMED, {"generation": 0}),
        "a short seal": (Refusal.MALFORMED, {"sealed": bytes(10)}),
        "a longer turn, the seal kept": (Refusal.TAG, {"live_until": ms(NOW + 9 * DAY)}),
        "another team, the seal kept": (Refusal.TAG, {"team": "days"}),
        "another's seal": (Refusal.TAG, {"sealed": other}),
    }
    return [
        case("a membership", "membership", given, {"seed": SEED, **{name: body[name] for name in names}}),
        refused("a membership opened with another key", "membership", Refusal.TAG, {**given, "kem_seed": key(8)}),
        *signature_cases("membership", given, "blob", MEMBER, ACCESS),
        *(
            refused(f"membership: {name}", "membership", reason, {**given, "blob": resigned(MEMBER, ACCESS, **change)})
            for name, (reason, change) in wrong.items()
        ),
    ]


def keyrings() -> list[dict[str, Any]]:
    facts: dict[str, Any] = {
        **CAST.roots_given(),
        "person": "doctor",
        "kem_seed": key(7),
        "sign_seed": key(8),
        "now": ms(NOW),
        "certificates": CAST.certificates(),
        "mandates": CAST.mandates,
        "grants": [GRANT],
        "zones": [CAST.zone],
        "epochs": CAST.epochs,
        "revoked": {},
        "revoked_grants": [],
        "teams": [TEAM],
        "memberships": [MEMBER],
        "revoked_memberships": [],
    }
    held = [{"zone": ZONE, "epoch": 2, "right": "write", "live_until": ms(NOW + DAY), "team": "nights", "index_key": key(32)}]
    lone = Refusal.MEMBERSHIP_MISSING
    early, late = member(not_before=NOW + DAY, live_until=NOW + 2 * DAY), member(not_before=NOW - 2 * DAY, live_until=NOW - DAY)
    keeper, second = member(keeps=True), member(generation=2)
    nurse, elsewhere = member(person="nurse"), member(certificate=SHA(CAST.officer_der))
    by_certifier = member(signer=CAST.officer_signer)
    wrong_seed, broken = member(team_seed=Secret(key(71))), flipped(MEMBER)
    brief = granted(live_until=NOW + DAY / 2)

    def opens(name: str, zones: list[dict[str, Any]], not_used: list[tuple[bytes, Refusal]], **changed: Any) -> dict[str, Any]:
        gives = {"zones": zones, "refused": sorted([SHA(blob).hex(), str(reason)] for blob, reason in not_used)}
        return case(name, "team-keyring", {**facts, **changed}, gives)

    def closed(name: str, turn: bytes, reason: Refusal) -> dict[str, Any]:
        return opens(name, [], [(turn, reason), (GRANT, lone)], memberships=[turn])

    nobody = {**facts, "certificates": CAST.certificates()[:3]}
    return [
        refused("nobody certified who opens through a team", "team-keyring", Refusal.CERTIFICATE_MISSING, nobody),
        opens("through a team", held, []),
        opens("until the earlier end", [{**held[0], "live_until": ms(NOW + DAY / 2)}], [], grants=[brief]),
        opens("without membership", [], [(GRANT, lone)], memberships=[]),
        closed("before the turn", early, Refusal.MEMBERSHIP_NOT_YET),
        closed("after the turn", late, Refusal.MEMBERSHIP_EXPIRED),
        closed("another person's turn", nurse, Refusal.GRANT_OTHER_PERSON),
        closed("a turn of another certificate", elsewhere, Refusal.GRANT_CERTIFICATE_MISMATCH),
        closed("a turn of a generation without record", second, Refusal.TEAM_MISSING),
        closed("a turn with another seed", wrong_seed, Refusal.COMMITMENT),
        closed("a changed turn", broken, Refusal.SIGNATURE),
        opens("a turn that was ended", [], [(MEMBER, Refusal.MEMBERSHIP_REVOKED), (GRANT, lone)], revoked_memberships=[SHA(MEMBER)]),
        opens("who keeps a team opens nothing", [], [(GRANT, lone)], memberships=[keeper]),
        opens("a turn given by a certificate officer", [], [(GRANT, Refusal.MANDATE_MISSING)], memberships=[by_certifier]),
    ]
