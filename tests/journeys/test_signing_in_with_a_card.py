"""Claire's card at the running trust, through Envoy and the agent's door for programs: what opens, and what is said when it does not."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from card_rig import MISSING, CardDrawer, RunningAgent, available
from journeys_cast import Administrator
from running_trust import RunningTrust, bound_to

from cloister.base.errors import Corrupt
from cloister.identity import cards as door_cards
from cloister.zones import algorithms, cards, unlockers

PROFILES = [("P-256", "derive"), ("P-384", "derive"), ("RSA", "decrypt"), ("RSA", "sign")]


@pytest.fixture
def drawer(tmp_path: Path) -> CardDrawer:
    if not available():
        pytest.skip(MISSING)
    return CardDrawer(tmp_path)


@pytest.fixture
def client(trust: RunningTrust) -> Iterator[httpx.Client]:
    with trust.client() as opened:
        yield opened


def add_card(trust: RunningTrust, person: dict[str, Any], agent: RunningAgent) -> None:
    """In the person's session, as the account page does it."""
    inside = trust.sign_in(person)
    begun = inside.client.post("/account/cards/start", json={}).raise_for_status().json()
    params, half = agent.enrol(begun["trust"], begun["person"], begun["flow"])
    if params["profile"] == "c":
        params |= begun["cost"]
    fresh, verifier = cards.card_secrets(root(half, params, person["passphrase"]))
    present, _ = unlockers.passphrase_secrets(person["passphrase"], begun["passphrase"])
    both = present.reveal() + fresh.reveal()
    sealed = algorithms.kem_seal(base64.b64decode(begun["public_key"]), both, f"cloister/enrol/v1|{begun['flow']}".encode())
    body = {"flow": begun["flow"], "params": params, "verifier": text(verifier), "sealed": text(sealed), "label": "Carte"}
    inside.client.post("/account/cards", json=body).raise_for_status()
    inside.client.post("/session/end", headers={"accept": "application/json"})


def root(half: bytes, params: dict[str, Any], passphrase: str) -> bytes:
    signing = params["profile"] == "c"
    return cards.root_of(half, unlockers.passphrase_root(passphrase, cards.passphrase_params(params)) if signing else None)


def text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def offers(client: httpx.Client, sign_in: str) -> tuple[str, list[str]]:
    flow = client.post("/login/start", json={"sign_in": sign_in, "cards": True}).raise_for_status().json()
    return flow["flow"], flow["cards"]


def own_offer(sealed: list[str], key: str) -> dict[str, Any] | None:
    for one in sealed:
        try:
            return dict(json.loads(algorithms.aead_open(cards.offer_key(key), base64.b64decode(one), door_cards.OFFER_LABEL)))
        except Corrupt:
            continue
    return None


def use_card(client: httpx.Client, person: dict[str, Any], agent: RunningAgent, *, passphrase: str | None = None) -> httpx.Response:
    """As the sign-in page does it; the door's answer, and the session unlocked if it is good."""
    (key,) = agent.call("GET", "/state")["keys"]
    flow, sealed = offers(client, person["sign_in"])
    offer = own_offer(sealed, key)
    assert offer is not None, "this card is nobody's of this name"
    half = agent.unlock(offer["params"], offer["person"], offer["unlocker"])
    kek, verifier = cards.card_secrets(root(half, offer["params"], passphrase or person["passphrase"]))
    bound_to(client, flow)
    answer = client.post("/login/card", json={"flow": flow, "unlocker": offer["unlocker"], "verifier": text(verifier)})
    if answer.is_success:
        place = answer.json()
        client.headers["cookie"] = answer.headers["set-cookie"].split(";")[0]
        message = algorithms.kem_seal(base64.b64decode(place["public_key"]), kek.reveal(), unlockers.session_unlock_info(place["session"]))
        client.post("/session/unlock", json={"unlocker": place["unlocker"]["id"], "sealed": text(message)}).raise_for_status()
    return answer


@pytest.mark.parametrize(("kind", "use"), PROFILES)
def test_a_card_opens_the_same_keys_as_the_passphrase(
    trust: RunningTrust, client: httpx.Client, drawer: CardDrawer, kind: str, use: str
) -> None:
    julie = trust.person(sign_in="julie.fontaine")
    drawer.card("Julie Fontaine", kind=kind, use=use)
    with drawer.agent() as agent:
        add_card(trust, julie, agent)
        asked = agent.questions().count("sign you in")
        use_card(client, julie, agent).raise_for_status()
        assert agent.questions().count("sign you in") == asked + 1
    state = client.get("/session/state").json()
    assert (state["state"], state["refused"]) == ("active", [])
    assert state["zones"] >= 1
    page = client.get("/account", headers={"accept": "text/html"})
    assert "data-card=" in page.text  # its pages end with the card
    client.post("/session/end", headers={"accept": "application/json"})


def test_a_card_that_only_signs_opens_nothing_without_its_passphrase(trust: RunningTrust, client: httpx.Client, drawer: CardDrawer) -> None:
    karim = trust.person(sign_in="karim.mansouri")
    drawer.card("Karim Mansouri", kind="RSA", use="sign")
    with drawer.agent() as agent:
        add_card(trust, karim, agent)
        wrong = use_card(client, karim, agent, passphrase="another passphrase")
        assert (wrong.status_code, wrong.json()["error"]) == (401, "sign-in-refused")
        use_card(client, karim, agent).raise_for_status()


def test_nobody_learns_from_the_door_who_has_a_card(trust: RunningTrust, client: httpx.Client, drawer: CardDrawer) -> None:
    manon = trust.person(sign_in="manon.chevalier")
    drawer.card("Manon Chevalier")
    with drawer.agent() as agent:
        add_card(trust, manon, agent)
        (key,) = agent.call("GET", "/state")["keys"]
    shapes = set()
    for name in ("manon.chevalier", "hugo.blanchard", "nobody.atall"):
        _, sealed = offers(client, name)
        shapes.add(tuple(len(one) for one in sealed))
        assert (own_offer(sealed, key) is not None) == (name == "manon.chevalier")
    assert len(shapes) == 1


def test_a_card_of_somebody_else_is_no_card_of_this_name(trust: RunningTrust, client: httpx.Client, drawer: CardDrawer) -> None:
    hugo, sophie = trust.person(sign_in="hugo.blanchard"), trust.person(sign_in="sophie.marchal")
    drawer.card("Hugo Blanchard")
    with drawer.agent() as agent:
        add_card(trust, hugo, agent)
        (key,) = agent.call("GET", "/state")["keys"]
        flow, sealed = offers(client, sophie["sign_in"])
        assert own_offer(sealed, key) is None
        offer = own_offer(offers(client, hugo["sign_in"])[1], key)
        assert offer is not None
        half = agent.unlock(offer["params"], offer["person"], offer["unlocker"])
        _, verifier = cards.card_secrets(half)
        answer = client.post("/login/card", json={"flow": flow, "unlocker": offer["unlocker"], "verifier": text(verifier)})
    assert (answer.status_code, answer.json()["error"]) == (401, "sign-in-refused")


def test_an_expired_certificate_is_said_to_whoever_holds_the_card_and_to_nobody_else(
    trust: RunningTrust, client: httpx.Client, drawer: CardDrawer
) -> None:
    lucas = trust.person(sign_in="lucas.perrin")
    ends = datetime.now(UTC) + timedelta(seconds=10)
    drawer.card("Lucas Perrin", ends=ends)
    with drawer.agent() as agent:
        add_card(trust, lucas, agent)
        (key,) = agent.call("GET", "/state")["keys"]
        flow, sealed = offers(client, lucas["sign_in"])
        offer = own_offer(sealed, key)
        assert offer is not None
        half = agent.unlock(offer["params"], offer["person"], offer["unlocker"])
    time.sleep(max(0.0, (ends - datetime.now(UTC)).total_seconds()) + 1)
    _, verifier = cards.card_secrets(half)
    body = {"flow": flow, "unlocker": offer["unlocker"], "verifier": text(verifier)}
    wrong = client.post("/login/card", json={**body, "flow": offers(client, lucas["sign_in"])[0], "verifier": text(bytes(32))})
    assert (wrong.status_code, wrong.json()["error"]) == (401, "sign-in-refused")
    answer = client.post("/login/card", json=body)
    assert (answer.status_code, answer.json()["error"]) == (403, "card-expired")
    assert "ended on" in answer.json()["text"]


def test_what_the_database_holds_of_a_card_neither_signs_in_nor_unlocks(
    trust: RunningTrust, client: httpx.Client, drawer: CardDrawer, administrator: Administrator
) -> None:
    ines = trust.person(sign_in="ines.lambert")
    drawer.card("Inès Lambert", kind="RSA", use="decrypt")
    with drawer.agent() as agent:
        add_card(trust, ines, agent)
        (key,) = agent.call("GET", "/state")["keys"]
    sql = "select u.* from trust.unlocker u where u.kind = 'card' and u.params ->> 'key' = $1"
    (row,) = administrator.rows(sql, key)
    params = json.loads(row["params"])
    stored = unlockers.Unlocker(row["id"], row["person"], "card", params, row["sealed"])
    for guess in (bytes.fromhex(params["commitment"]), row["verifier"], bytes.fromhex(key)):
        body = {"flow": offers(client, ines["sign_in"])[0], "unlocker": row["id"], "verifier": text(guess)}
        assert client.post("/login/card", json=body).status_code == 401
        with pytest.raises(Corrupt):
            unlockers.unwrap_unlock_key(cards.card_secrets(guess)[0], stored)


def command(trust: RunningTrust, drawer: CardDrawer, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**trust.environment, "XDG_RUNTIME_DIR": str(drawer.folder)}
    return subprocess.run([sys.executable, "-m", "cloister.cli", *words], env=environment, capture_output=True, text=True, timeout=60)


def test_a_card_signs_in_at_the_command_line(trust: RunningTrust, drawer: CardDrawer) -> None:
    aurelie = trust.person(sign_in="aurelie.guerin")
    drawer.card("Aurélie Guérin")
    with drawer.agent() as agent:
        refused = command(trust, drawer, "card", "try", aurelie["sign_in"])
        assert "No inserted card is one of aurelie.guerin." in refused.stderr
        add_card(trust, aurelie, agent)
        done = command(trust, drawer, "card", "try", aurelie["sign_in"])
        assert done.returncode == 0, done.stderr
        assert "This card opens the keys of aurelie.guerin" in done.stdout
        assert " 0 refused" in done.stdout
    gone = command(trust, drawer, "card", "try", aurelie["sign_in"])
    assert "No card agent runs here." in gone.stderr
