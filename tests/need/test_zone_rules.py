"""An access officer changes a zone's rules: who opens it in need, which machines seal in, how long a share lasts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from need_cast import ADELE, ANALYSER, ARNAUD, DELORME, FONTAINE, GARNIER, KARIM, LEMOINE, PLAN, REASON, TILLEULS, VASSEUR, SignIn
from store_rig import Rig, rig
from test_break_glass import holds, refused

from cloister.base.clock import system_clock
from cloister.base.errors import Denied
from cloister.offices import granting, zone_rules
from cloister.zones import revocations

SAINT_ROCH = "saint-roch"


@pytest.fixture(scope="module")
def trust() -> Iterator[Rig]:
    """A trust of its own: zones get new keys here, which would surprise the other tests."""
    with rig(plan=PLAN) as made:
        yield made


def rules(**changed: object) -> zone_rules.Rules:
    usual = zone_rules.Rules(
        approvers=1, minutes=20, right="read", askers=[KARIM.sign_in], pool=[FONTAINE.sign_in, GARNIER.sign_in], machines=[], share_days=7
    )
    return replace(usual, **changed)  # type: ignore[arg-type]


async def test_new_rules_hold_from_the_zones_next_keys_on(trust: Rig, sign_in: SignIn) -> None:
    officer = (await sign_in(ARNAUD)).session
    karim = await sign_in(KARIM)
    with refused("glass-not-offered"):
        await karim.glass.ask(SAINT_ROCH, "other", REASON)
    await zone_rules.change(officer.keyring, officer.gate, zone=SAINT_ROCH, rules=rules(machines=[ANALYSER.client_id]), now=system_clock())
    record, now = await zone_rules.present(officer.keyring, officer.gate, SAINT_ROCH)
    assert (record.seq, now) == (2, rules(machines=[ANALYSER.client_id]))
    fontaine = await sign_in(FONTAINE)
    request = await karim.glass.ask(SAINT_ROCH, "other", REASON)
    await fontaine.glass.approve(request)
    await karim.glass.open(request)
    assert holds(karim, SAINT_ROCH)
    machine = await trust.session(ANALYSER)
    zones = [row[0] for row in (await machine.gate.call("ingest_zones"))["zones"]]
    machine.close()
    assert SAINT_ROCH in zones


async def test_who_is_taken_out_asks_in_vain_and_older_seals_are_worth_nothing(sign_in: SignIn) -> None:
    officer, vasseur = (await sign_in(ARNAUD)).session, await sign_in(VASSEUR)
    changed = rules(approvers=2, askers=[FONTAINE.sign_in], pool=[DELORME.sign_in, "guerin.test"])
    await zone_rules.change(officer.keyring, officer.gate, zone=TILLEULS, rules=changed, now=system_clock())
    with refused("glass-not-offered"):
        await vasseur.glass.ask(TILLEULS, "other", REASON)
    none = rules(approvers=0, askers=[], pool=[])
    fresh = (await sign_in(ARNAUD)).session
    await zone_rules.change(fresh.keyring, fresh.gate, zone=TILLEULS, rules=none, now=system_clock())
    with refused("glass-not-offered"):
        await (await sign_in(FONTAINE)).glass.ask(TILLEULS, "other", REASON)


async def test_rules_that_cannot_hold_are_refused_by_name(sign_in: SignIn) -> None:
    officer = (await sign_in(ARNAUD)).session
    for wrong, reason in (
        (rules(pool=[]), "glass-pool"),
        (rules(approvers=2), None),
        (rules(approvers=2, askers=[FONTAINE.sign_in]), "glass-pool"),  # she could not agree to her own request
        (rules(askers=["nobody.test"]), "glass-name"),
        (rules(askers=[LEMOINE.sign_in]), "glass-name"),
        (rules(machines=[ADELE.sign_in]), "glass-name"),
        (rules(minutes=0), "form"),
        (rules(share_days=99999), "form"),
    ):
        if reason is not None:
            with refused(reason):
                await zone_rules.change(officer.keyring, officer.gate, zone=SAINT_ROCH, rules=wrong, now=system_clock())


async def test_a_zone_that_two_officers_grant_is_not_opened_at_one_persons_word(sign_in: SignIn) -> None:
    officer = (await sign_in(ARNAUD)).session
    await granting.set_policy(
        officer.keyring, officer.gate, zone="sainte-anne", changes={revocations.TWO_OFFICERS: True}, now=system_clock()
    )
    with refused("glass-two-officers"):
        await zone_rules.change(officer.keyring, officer.gate, zone="sainte-anne", rules=rules(approvers=0), now=system_clock())


async def test_only_an_access_officer_changes_them(sign_in: SignIn) -> None:
    karim = (await sign_in(KARIM)).session
    with pytest.raises(Denied):
        await zone_rules.change(karim.keyring, karim.gate, zone=SAINT_ROCH, rules=rules(), now=system_clock())
