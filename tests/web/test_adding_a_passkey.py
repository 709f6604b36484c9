"""Claire adds a passkey inside her session: her passphrase again, and both keys sealed for this one enrolment."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from epr_cast import CLAIRE, Browser, MemoryGate, MemoryRecord, served
from soft_authenticator import SoftAuthenticator

from cloister.base.secret import Secret
from cloister.zones import algorithms, unlockers

PASSPHRASE: Final = "cerise-moulin-brume-digue-47"
UNLOCK_KEY: Final = Secret(bytes(range(32)))
PRF: Final = b"\x07" * 32


@dataclass
class Home:
    """Claire's browser and what the store holds of her."""

    browser: Browser
    gate: MemoryGate
    key: SoftAuthenticator = field(default_factory=SoftAuthenticator)

    async def start(self) -> dict[str, Any]:
        return dict((await self.browser.send("/account/passkeys/start", {})).json())

    def answer(self, begun: dict[str, Any], *, passphrase: str = PASSPHRASE, prf: dict[str, Any] | None = None) -> dict[str, Any]:
        present, _ = unlockers.passphrase_secrets(passphrase, begun["passphrase"])
        both = present.reveal() + unlockers.passkey_kek(PRF).reveal()
        sealed = algorithms.kem_seal(base64.b64decode(begun["public_key"]), both, f"cloister/enrol/v1|{begun['flow']}".encode())
        attestation = self.key.create(begun["options"], prf=prf)
        return {"flow": begun["flow"], "attestation": attestation, "sealed": base64.b64encode(sealed).decode(), "label": "Badge"}


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
    return Home(Browser(served(MemoryRecord(), CLAIRE, gate=gate)), gate)


async def test_the_new_passkey_opens_the_same_unlock_key(home: Home) -> None:
    answer = await home.browser.send("/account/passkeys", home.answer(await home.start()))
    assert answer.status_code == 201, answer.text
    (added,) = home.gate.added
    assert (added["kind"], added["label"]) == ("passkey", "Badge")
    assert added["credential_id"] == home.key.credential_id
    stored = unlockers.Unlocker(added["id"], CLAIRE.person, "passkey", added["params"], added["sealed"])
    assert unlockers.unwrap_unlock_key(unlockers.passkey_kek(PRF), stored) == UNLOCK_KEY


async def test_a_wrong_passphrase_adds_nothing(home: Home) -> None:
    answer = await home.browser.send("/account/passkeys", home.answer(await home.start(), passphrase="not this one"))
    assert (answer.status_code, answer.json()["error"]) == (403, "wrong")
    assert home.gate.added == []


async def test_an_enrolment_is_answered_once(home: Home) -> None:
    body = home.answer(await home.start())
    assert (await home.browser.send("/account/passkeys", body)).status_code == 201
    again = await home.browser.send("/account/passkeys", body)
    assert (again.status_code, again.json()["error"]) == (403, "challenge-over")
    assert len(home.gate.added) == 1


async def test_keys_sealed_for_another_enrolment_are_refused(home: Home) -> None:
    first, second = home.answer(await home.start()), await home.start()
    mixed = home.answer(second) | {"sealed": first["sealed"]}
    answer = await home.browser.send("/account/passkeys", mixed)
    assert (answer.status_code, answer.json()["error"]) == (403, "unlock-message")


async def test_an_authenticator_without_the_secret_extension_is_refused_by_name(home: Home) -> None:
    answer = await home.browser.send("/account/passkeys", home.answer(await home.start(), prf={}))
    assert (answer.status_code, answer.json()["error"]) == (501, "passkey-without-prf")


async def test_a_browser_that_sends_the_secret_itself_is_refused(home: Home) -> None:
    answer = await home.browser.send(
        "/account/passkeys", home.answer(await home.start(), prf={"enabled": True, "results": {"first": "AAAA"}})
    )
    assert answer.status_code == 400
    assert home.gate.added == []


@pytest.mark.parametrize("body", [{}, [], "x", {"flow": 1}, {"flow": "unknown", "sealed": "!"}])
async def test_nonsense_is_refused_and_breaks_nothing(home: Home, body: Any) -> None:
    answer = await home.browser.send("/account/passkeys", body)
    assert answer.status_code in (400, 403)


async def test_a_form_of_another_site_is_not_json(home: Home) -> None:
    answer = await home.browser.post("/account/passkeys", flow="x")
    assert answer.status_code == 400
