"""How the formats of section 25 are opened here."""

from __future__ import annotations

from typing import Any

from certificates import known, moment, revocations, roots
from grants import ms
from keyring import raws

from cloister.base.secret import Secret
from cloister.zones import Keyring, TrustMaterial, algorithms, bundle, grants, teams
from cloister.zones.keyring import RIGHTS


def offices(given: dict[str, Any]) -> grants.Offices:
    return grants.Offices(roots(given), known(given), raws(given["mandates"]))


def team(given: dict[str, Any]) -> dict[str, Any]:
    found = teams.verified_team(bytes.fromhex(given["blob"]), offices(given))
    says = {name: getattr(found, name) for name in ("team", "generation", "name", "hospital", "hash")}
    return {**says, "kem": found.kem_public, "made": ms(found.made)}


def membership(given: dict[str, Any]) -> dict[str, Any]:
    found = teams.verified_membership(bytes.fromhex(given["blob"]), offices(given))
    says = {name: getattr(found, name) for name in ("team", "generation", "person", "certificate", "reason")}
    moments = {"not_before": ms(found.not_before), "live_until": ms(found.live_until)}
    seed = algorithms.KemPrivate(bytes.fromhex(given["kem_seed"])).open(found.sealed, found.info)
    return {**says, **moments, "keeps": int(found.keeps), "seed": seed}


def team_keyring(given: dict[str, Any]) -> dict[str, Any]:
    private = bundle.Bundle(given["person"], *(Secret(bytes.fromhex(given[name])) for name in ("kem_seed", "sign_seed")))
    names = ("certificates", "mandates", "grants", "zones", "epochs", "revoked_grants", "teams", "memberships", "revoked_memberships")
    material = TrustMaterial(**{name: raws(given[name]) for name in names}, revoked_certificates=revocations(given))
    found = Keyring.open(bundle=private, trust=roots(given), material=material, now=moment(given["now"]))
    rights = {allowed: right.value for right, allowed in RIGHTS.items()}
    zones = [
        {
            **{name: getattr(one, name) for name in ("zone", "epoch", "team")},
            "right": rights[one.rights],
            "index_key": found.index_key(one.zone),
            "live_until": ms(one.live_until),
        }
        for one in found.zones
    ]
    return {"zones": zones, "refused": sorted([hashed, reason.value] for hashed, reason in found.refused)}


FORMATS = {"team": team, "membership": membership, "team-keyring": team_keyring}
