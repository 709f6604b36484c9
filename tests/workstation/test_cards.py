"""What Claire's card does when she signs in: one operation, one half, and a name for everything that goes wrong. SoftHSM2."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from card_rig import PIN, AgentRefused, CardDrawer, RunningAgent

from cloister.base.errors import Denied
from cloister.base.secret import Secret
from cloister.zones import Forged, Refusal, cards, unlockers

KINDS = [("P-256", "derive", "a"), ("P-384", "derive", "a"), ("RSA", "decrypt", "b"), ("RSA", "sign", "c")]
WHO = ("p-claire", "u-card")


def refusal(agent: RunningAgent, params: dict[str, object]) -> str:
    with pytest.raises(AgentRefused) as refused:
        agent.unlock(params, *WHO)
    return refused.value.reason


@pytest.mark.parametrize(("kind", "use", "profile"), KINDS)
def test_a_card_gives_the_same_half_each_time_and_another_for_every_other_use(
    drawer: CardDrawer, kind: str, use: str, profile: str
) -> None:
    drawer.card("Claire Vasseur", kind=kind, use=use)
    with drawer.agent() as agent:
        params, half = agent.enrol("trust-1", *WHO)
        assert params["profile"] == profile
        assert agent.unlock(params, *WHO) == half
        assert len({half, agent.unlock(params, "p-adele", "u-card"), agent.unlock(params, "p-claire", "u-other")}) == 3
        again, other = agent.enrol("trust-1", *WHO)
    cost = unlockers.new_passphrase_params() if profile == "c" else {}
    unlockers.check_params("card", {**params, **cost})
    if profile == "c":  # there is one signature of a text, so the same unlocker has the same half
        assert (again, other) == (params, half)
    else:
        assert other != half


def test_the_best_that_a_card_offers_is_used(drawer: CardDrawer) -> None:
    drawer.card("Claire Vasseur", kind="RSA", use="decrypt")
    with drawer.agent() as agent:
        params, _ = agent.enrol("trust-1", *WHO)
    assert params["padding"].startswith("oaep")  # SoftHSM2 lists OAEP, refuses SHA-256 in it, and does SHA-1


@pytest.mark.parametrize("name", ["point", "kem"])
def test_of_profile_a_both_halves_are_needed(drawer: CardDrawer, name: str) -> None:
    drawer.card("Claire Vasseur")
    with drawer.agent() as agent:
        params, half = agent.enrol("trust-1", *WHO)
        other, _ = agent.enrol("trust-1", *WHO)
        assert agent.unlock({**params, name: other[name]}, *WHO) != half


def test_a_point_that_is_not_on_the_curve_never_reaches_the_card(drawer: CardDrawer) -> None:
    drawer.card("Claire Vasseur")
    with drawer.agent() as agent:
        params, _ = agent.enrol("trust-1", *WHO)
        wrong = params["point"][:-2] + f"{int(params['point'][-2:], 16) ^ 1:02x}"
        for point in (wrong, "00", params["point"][2:], "04" + "00" * 64):
            assert refusal(agent, {**params, "point": point}) == "other-card"


def test_of_profile_b_a_bad_padding_and_another_secret_have_one_answer(drawer: CardDrawer) -> None:
    drawer.card("Claire Vasseur", kind="RSA", use="decrypt")
    with drawer.agent() as agent:
        params, _ = agent.enrol("trust-1", *WHO)
        answers = {
            refusal(agent, {**params, "wrapped": "00" * 255 + "01"}),
            refusal(agent, {**params, "wrapped": "01" + params["wrapped"][2:]}),
            refusal(agent, {**params, "padding": "pkcs1"}),
            refusal(agent, {**params, "commitment": "00" * 32}),
        }
    assert answers == {"other-card"}


def test_a_card_of_profile_c_signs_nothing_but_its_own_text(drawer: CardDrawer) -> None:
    """Whatever a page sends, what is signed names trust, person and unlocker; a signature itself is never answered."""
    drawer.card("Claire Vasseur", kind="RSA", use="sign")
    with drawer.agent() as agent:
        params, half = agent.enrol("trust-1", *WHO)
        assert set(params) == {"profile", "trust", "key", "not_after"}
        assert agent.unlock({**params, "text": "another text", "message": "00"}, *WHO) == half
        assert (
            refusal(agent, {**params, "profile": "b", "wrapped": "00" * 256, "padding": "pkcs1", "commitment": "00" * 32}) == "other-card"
        )
        assert refusal(agent, {**params, "profile": "a", "point": "", "kem": "", "curve": "P-256"}) == "other-card"
    assert len(half) == 32


def test_of_profile_c_neither_card_nor_passphrase_opens_anything_alone(drawer: CardDrawer) -> None:
    drawer.card("Claire Vasseur", kind="RSA", use="sign")
    with drawer.agent() as agent:
        params, half = agent.enrol("trust-1", *WHO)
    params |= unlockers.new_passphrase_params()
    root = unlockers.passphrase_root("brume-47", cards.passphrase_params(params))
    kek, _ = cards.card_secrets(cards.root_of(half, root))
    key = Secret(bytes(range(32)))
    stored = unlockers.wrap_unlock_key(kek, "u-card", "p-claire", "card", params, key)
    assert unlockers.unwrap_unlock_key(kek, stored) == key
    for wrong in (half, root, cards.root_of(half, bytes(32)), cards.root_of(bytes(32), root)):
        with pytest.raises(Forged) as refused:
            unlockers.unwrap_unlock_key(cards.card_secrets(wrong)[0], stored)
        assert refused.value.reason == Refusal.WRONG_KEY


def test_a_weak_passphrase_derivation_beside_a_card_is_refused() -> None:
    params = {"profile": "c", "trust": "trust-1", "key": "ab" * 32, "not_after": 1, **unlockers.new_passphrase_params(), "passes": 1}
    with pytest.raises(Denied):
        unlockers.check_params("card", params)


# --- messages ------------------------------------------------------------------------------------------


def test_a_wrong_pin_is_said_and_the_right_one_works_afterwards(drawer: CardDrawer) -> None:
    drawer.card("Claire Vasseur")
    with drawer.agent() as agent:
        params, half = agent.enrol("trust-1", *WHO)
        agent.typed.write_text("000000")
        assert refusal(agent, params).startswith("wrong-pin")
        agent.typed.write_text(PIN)
        assert agent.unlock(params, *WHO) == half


def test_another_persons_card_is_named_before_a_pin_is_asked(drawer: CardDrawer) -> None:
    drawer.card("Claire Vasseur")
    with drawer.agent() as agent:
        params, _ = agent.enrol("trust-1", *WHO)
    (drawer.folder / "asked").unlink()
    drawer.cards.pop().pull()
    drawer.card("Adèle Morel")
    with drawer.agent() as agent:
        assert refusal(agent, params) == "other-card"
        assert agent.questions() == ""


def test_a_card_whose_certificate_has_ended_is_named_before_a_pin_is_asked(drawer: CardDrawer) -> None:
    drawer.card("Claire Vasseur", ends=datetime.now(UTC) - timedelta(minutes=1))
    with drawer.agent() as agent:
        (key,) = agent.call("GET", "/state")["keys"]
        params = {"profile": "a", "trust": "trust-1", "key": key, "not_after": 2**52}
        assert refusal(agent, params) == "card-expired"
        with pytest.raises(AgentRefused, match="has ended"):
            agent.enrol("trust-1", *WHO)
        assert agent.questions() == ""


def test_an_empty_reader_and_a_pulled_card_are_said(drawer: CardDrawer) -> None:
    card = drawer.card("Claire Vasseur")
    with drawer.agent() as agent:
        params, _ = agent.enrol("trust-1", *WHO)
        card.pull()
        assert agent.call("GET", f"/stays?key={params['key']}") == {"stays": False}
        assert refusal(agent, params) == "no-card"


def test_a_card_pulled_while_the_pin_is_typed_is_said(drawer: CardDrawer) -> None:
    card = drawer.card("Claire Vasseur")
    with drawer.agent() as agent:
        params, _ = agent.enrol("trust-1", *WHO)
        program = drawer.folder / "pin-program"
        program.write_text(f"#!/bin/sh\nmv {card.folder} {drawer.folder}/out\necho {PIN}\n")
        assert refusal(agent, params) == "card-pulled"


def test_whoever_closes_the_pin_window_has_given_no_pin(drawer: CardDrawer) -> None:
    drawer.card("Claire Vasseur")
    with drawer.agent() as agent:
        params, _ = agent.enrol("trust-1", *WHO)
        (drawer.folder / "pin-program").write_text("#!/bin/sh\nexit 1\n")
        assert refusal(agent, params) == "pin-cancelled"


def test_the_question_says_who_asks_and_for_what(drawer: CardDrawer) -> None:
    drawer.card("Claire Vasseur")
    with drawer.agent() as agent:
        params, _ = agent.enrol("trust-1", *WHO)
        agent.unlock(params, *WHO)
        asked = agent.questions()
    assert "A program on this computer asks to add your card" in asked
    assert "asks your card to sign you in" in asked
    assert "Card: Claire Vasseur" in asked


def test_nothing_that_the_agent_prints_holds_a_pin_or_a_key(drawer: CardDrawer) -> None:
    drawer.card("Claire Vasseur")
    with drawer.agent() as agent:
        agent.enrol("trust-1", *WHO)
        agent.process.terminate()
        agent.process.wait(10)
        assert agent.process.stdout is not None
        assert agent.process.stdout.read() == ""
