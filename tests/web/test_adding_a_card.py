"""Claire adds her card inside her session: her passphrase again, and both keys sealed for this one enrolment."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any, Final

import pytest
from epr_cast import CLAIRE, NOW, Browser, MemoryGate, MemoryRecord, served

from cloister.base.secret import Secret
from cloister.zones import algorithms, cards, unlockers

PASSPHRASE: Final = "cerise-moulin-brume-digue-47"
UNLOCK_KEY: Final = Secret(bytes(range(32)))
TRUST: Final = "trust-1"
KEY: Final = "ab" * 32
LATER: Final = int(NOW.timestamp() * 1000) + 86_400_000
HALF: Final = b"\x09" * 32


@dataclass
class Home:
    """Claire's browser and what the store holds of her."""

    browser: Browser
    gate: MemoryGate

    async def start(self) -> dict[str, Any]:
        return dict((await self.browser.send("/account/cards/start", {})).json())

    def answer(self, begun: dict[str, Any], *, passphrase: str = PASSPHRASE, **changes: Any) -> dict[str, Any]:
        """As the page answers for a card of profile b."""
        params = {"profile": "b", "trust": begun["trust"], "key": KEY, "not_after": LATER, "padding": "pkcs1"}
        params |= {"wrapped": "00" * 256, "commitment": "00" * 32, **changes}
        present, _ = unlockers.passphrase_secrets(passphrase, begun["passphrase"])
        fresh, verifier = cards.card_secrets(HALF)
        both = present.reveal() + fresh.reveal()
        sealed = algorithms.kem_seal(base64.b64decode(begun["public_key"]), both, f"cloister/enrol/v1|{begun['flow']}".encode())
        return {
            "flow": begun["flow"],
            "params": params,
            "verifier": base64.b64encode(verifier).decode(),
            "sealed": base64.b64encode(sealed).decode(),
            "label": "Badge",
        }

    async def add(self, **changes: Any) -> Any:
        return await self.browser.send("/account/cards", self.answer(await self.start(), **changes))


@pytest.fixture
def home() -> Home:
    gate = MemoryGate()
    params = unlockers.new_passphrase_params()
    kek, _ = unlockers.passphrase_secrets(PASSPHRASE, params)
    made = unlockers.wrap_unlock_key(kek, "u-1", CLAIRE.person, "passphrase", params, UNLOCK_KEY)
    gate.unlockers = [
        {"id": made.id, "kind": made.kind, "params": params, "sealed": made.sealed, "label": "", "created": None, "last_used": None}
    ]
    gate.person = {
        "id": CLAIRE.person,
        "sign_in": "claire.vasseur",
        "name": CLAIRE.name,
        "kind": "person",
        "role": "doctor",
        "hospital": None,
        "language": "en",
    }
    gate.trust = {"id": TRUST}
    return Home(Browser(served(MemoryRecord(), CLAIRE, gate=gate)), gate)


async def test_the_card_opens_the_same_unlock_key(home: Home) -> None:
    begun = await home.start()
    answer = await home.browser.send("/account/cards", home.answer(begun))
    assert answer.status_code == 201, answer.text
    (added,) = home.gate.added
    assert (added["kind"], added["label"], added["id"]) == ("card", "Badge", begun["flow"])
    kek, verifier = cards.card_secrets(HALF)
    assert added["verifier"] == unlockers.stored_verifier(verifier)
    stored = unlockers.Unlocker(added["id"], CLAIRE.person, "card", added["params"], added["sealed"])
    assert unlockers.unwrap_unlock_key(kek, stored) == UNLOCK_KEY


async def test_a_wrong_passphrase_adds_nothing(home: Home) -> None:
    answer = await home.add(passphrase="not this one")
    assert (answer.status_code, answer.json()["error"]) == (403, "wrong")
    assert home.gate.added == []


async def test_a_card_whose_certificate_has_ended_is_not_added(home: Home) -> None:
    answer = await home.add(not_after=int(NOW.timestamp() * 1000))
    assert (answer.status_code, answer.json()["error"]) == (403, "card-expired")


async def test_a_card_of_another_trust_is_not_added(home: Home) -> None:
    answer = await home.add(trust="trust-2")
    assert answer.json()["error"] == "trust"


async def test_the_same_card_is_not_added_twice(home: Home) -> None:
    home.gate.unlockers.append({"id": "u-2", "kind": "card", "params": {"key": KEY}, "sealed": b""})
    answer = await home.add()
    assert (answer.status_code, answer.json()["error"]) == (409, "card-exists")


@pytest.mark.parametrize(
    "changes", [{"padding": "none"}, {"wrapped": "00"}, {"profile": "d"}, {"more": 1}, {"key": "AB" * 32}, {"not_after": "x"}]
)
async def test_parameters_of_no_known_form_are_refused(home: Home, changes: dict[str, Any]) -> None:
    assert (await home.add(**changes)).status_code == 400
    assert home.gate.added == []


@pytest.mark.parametrize("body", [{}, [], "x", {"flow": 1}, {"flow": "unknown", "verifier": "!"}])
async def test_nonsense_is_refused_and_breaks_nothing(home: Home, body: Any) -> None:
    assert (await home.browser.send("/account/cards", body)).status_code in (400, 403)
