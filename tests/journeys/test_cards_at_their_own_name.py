"""Claire signs in with the certificate of her card at the cards' own name of the running trust; who has the cookie alone gets nothing."""

from __future__ import annotations

import base64
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from card_authority import Authority, pem
from card_client import at_the_cards
from cryptography import x509
from journeys_cast import CARDIOLOGIST, CARDIOLOGY_NURSE, Administrator
from running_trust import RunningTrust, bound_to

from cloister.cli.key_bound import KeyBound
from cloister.gateway.cards_in_use import EVERY_SECONDS, REMOVED
from cloister.zones import algorithms, certificates, unlockers

STATE: Final = "/session/state"
SECONDS_MAX: Final = 15.0  # a round is five, and this machine may be busy
Files = tuple[Path, Path]


class Office:
    """The hospital's health cards: their authority, and what IT writes down of it."""

    def __init__(self, trust: RunningTrust, folder: Path) -> None:
        self._trust, self._folder = trust, folder
        self.authority = Authority("Health cards", now=datetime.now(UTC))
        self.claire = self.authority.card("Claire Vasseur")
        self.files = self.authority.files(self.claire, folder)
        self.published()
        self.cloister("certificate", "register", CARDIOLOGIST, str(self.files[0]))

    def published(self, *revoked: x509.Certificate, held: x509.Certificate | None = None, until: timedelta = timedelta(days=1)) -> None:
        chain, crl = self._folder / "health.pem", self._folder / "health.crl"
        chain.write_text(pem(self.authority.certificate))
        crl.write_text(self.authority.list(*revoked, held=held, until=until))
        self.cloister("certificate", "authority", "health", "--chain", str(chain), "--crl", str(crl))

    def cloister(self, *words: str) -> None:
        command = [sys.executable, "-m", "cloister.cli", *words]
        subprocess.run(command, env=self._trust.environment, check=True, capture_output=True)


@pytest.fixture(scope="module")
def office(trust: RunningTrust, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    made = Office(trust, tmp_path_factory.mktemp("cards"))
    yield made
    made.published()
    Administrator.of(trust).change("delete from estate.certificate", "delete from estate.card_authority")


def proved(browser: httpx.Client) -> str:
    """The word with which the sign-in page goes on."""
    answer = browser.get("/login/certificate")
    assert answer.status_code == 303, answer.text
    assert answer.headers["location"].startswith("/login#proved="), "at this name, not at another"
    return str(answer.headers["location"].partition("=")[2])


def joined(browser: httpx.Client, word: str) -> dict[str, Any]:
    bound_to(browser, word)
    place = browser.post("/login/continued", json={"proved": word})
    assert place.status_code == 200, place.text
    browser.headers["cookie"] = place.headers["set-cookie"].split(";")[0]
    return dict(place.json())


def opened(trust: RunningTrust, browser: httpx.Client, place: dict[str, Any]) -> None:
    way = place["ways"]["passphrase"]
    kek, _ = unlockers.passphrase_secrets(trust.person(sign_in=CARDIOLOGIST)["passphrase"], way["params"])
    info = unlockers.session_unlock_info(place["session"])
    sealed = base64.b64encode(algorithms.kem_seal(base64.b64decode(place["public_key"]), kek.reveal(), info)).decode()
    assert browser.post("/session/unlock", json={"unlocker": way["unlocker"], "sealed": sealed}).status_code == 200


def test_claire_signs_in_with_her_card_and_her_cookie_is_of_no_use_without_it(trust: RunningTrust, office: Office, tmp_path: Path) -> None:
    other = office.authority.files(office.authority.card("Claire Vasseur"), tmp_path)
    with at_the_cards(trust, office.files) as claire:
        place = joined(claire, proved(claire))
        opened(trust, claire, place)
        assert claire.get("/patients").status_code == 200
        assert isinstance(claire.auth, KeyBound)
        cookie = {"cookie": claire.headers["cookie"]}
        # The thief has her cookie, and even her browser's key: another card, none, or the web's name.
        with at_the_cards(trust, other, key=claire.auth) as thief:
            assert thief.get(STATE, headers=cookie).json()["reason"] == "card-binding"
            assert thief.get("/patients", headers=cookie).headers["location"] == "/login"
        with at_the_cards(trust, None, key=claire.auth) as thief:
            answer = thief.get("/patients", headers=cookie)
            assert (answer.status_code, "Your card was not taken" in answer.text) == (403, True)
        with trust.client(auth=claire.auth, headers=cookie) as thief:
            assert thief.get(STATE).json()["reason"] == "card-binding"
        assert claire.get(STATE).json()["state"] == "active"
        renewed = Administrator.of(trust).one("select state::text from estate.session where id = $1", place["session"])
        assert renewed == "active"
        claire.post("/session/end")
    # Of this very session, which may be one that she had open before: then the entry says that she joined it again.
    said = [one["reason"] for one in Administrator.of(trust).entries(session=place["session"]) if one["action"] == "sign-in"]
    assert said[-1] in ("certificate", "certificate, joined again")


def until_refused(browser: httpx.Client, address: str, limit: float = 30.0) -> tuple[float, httpx.Response]:
    """How long it took until this was not answered with 200 any more, and the answer."""
    begun = time.monotonic()
    while (answer := browser.get(address)).status_code == 200:
        assert time.monotonic() - begun < limit, "it never came"
        time.sleep(0.1)
    return time.monotonic() - begun, answer


def test_a_session_ends_with_its_card_and_its_person_reads_why(trust: RunningTrust, office: Office) -> None:
    """Revoked, suspended, or not hers any more: out within seconds. A list that is late signs nobody out, and other ways go on."""
    administrator = Administrator.of(trust)

    def entered(browser: httpx.Client) -> str:
        place = joined(browser, proved(browser))
        opened(trust, browser, place)
        assert browser.get("/patients").status_code == 200
        return str(place["session"])

    for end, text, reason in (
        (lambda: office.published(office.claire), "Your card was revoked or suspended.", "certificate-revoked"),
        (lambda: office.published(held=office.claire), "Your card was revoked or suspended.", "certificate-revoked"),
        (
            lambda: office.cloister("certificate", "remove", certificates.fingerprint(office.files[0].read_text()).hex()),
            "Your card is not registered for you any more.", REMOVED,
        ),
    ):  # fmt: skip
        with at_the_cards(trust, office.files) as claire:
            session = entered(claire)
            end()
            try:
                took, page = until_refused(claire, "/patients")
                assert (page.status_code, text in page.text) == (403, True), page.text
                assert claire.get("/fhir/R4/Patient").json()["issue"][0]["diagnostics"] == text
                assert took < SECONDS_MAX
            finally:
                if reason == REMOVED:
                    office.cloister("certificate", "register", CARDIOLOGIST, str(office.files[0]))
                else:
                    office.published()
        ends = [one["reason"] for one in administrator.entries(session=session) if one["action"] == "end"]
        assert ends == [reason]
    with at_the_cards(trust, office.files) as claire:
        session = entered(claire)
        office.published(until=timedelta(minutes=-1))
        other = trust.sign_in(trust.person(sign_in=CARDIOLOGY_NURSE))
        time.sleep(EVERY_SECONDS + 1)
        assert claire.get("/patients").status_code == other.client.get("/patients").status_code == 200
        office.published()
        # Whoever proves herself by something else has a session of that, whatever becomes of the card.
        by_phrase = trust.sign_in(trust.person(sign_in=CARDIOLOGIST))
        assert by_phrase.session == session
        office.published(office.claire)
        time.sleep(EVERY_SECONDS + 1)
        assert by_phrase.client.get("/patients").status_code == 200
        office.published()
        for one in (by_phrase, other):
            one.client.post("/session/end")


def test_each_name_shows_the_way(trust: RunningTrust, office: Office) -> None:
    with trust.client() as web, at_the_cards(trust, office.files) as cards:
        assert f'href="{str(cards.base_url).rstrip("/")}/login/certificate"' in web.get("/login").text
        assert 'href="/login/certificate"' in cards.get("/login").text


def test_a_ticket_of_the_webs_name_is_none_at_the_cards(trust: RunningTrust, office: Office) -> None:
    web = trust.sign_in(trust.person(sign_in=CARDIOLOGIST))
    assert isinstance(web.client.auth, KeyBound)
    with at_the_cards(trust, office.files, key=web.client.auth) as cards:
        assert cards.get(STATE, headers={"cookie": f"__Host-ticket={web.ticket}"}).json()["reason"] == "card-binding"
    web.client.post("/session/end")


def test_what_a_card_proved_counts_on_its_own_connections_only(trust: RunningTrust, office: Office, tmp_path: Path) -> None:
    other = office.authority.files(office.authority.card("Somebody"), tmp_path)
    with at_the_cards(trust, office.files) as claire, at_the_cards(trust, other) as thief, trust.client() as web:
        for elsewhere in (thief, web):
            word = proved(claire)
            bound_to(elsewhere, word)
            assert elsewhere.post("/login/continued", json={"proved": word}).status_code == 404


def refusal(trust: RunningTrust, card: Files | None, language: str = "en") -> tuple[int, str]:
    with at_the_cards(trust, card) as browser:
        answer = browser.get("/login/certificate", headers={"accept-language": language})
        assert answer.headers["content-type"].startswith("text/html")
        return answer.status_code, answer.text


def test_each_card_that_is_not_taken_is_told_why_in_a_page(trust: RunningTrust, office: Office, tmp_path: Path) -> None:
    stranger = Authority("Health cards", now=datetime.now(UTC))
    nobody = office.authority.files(office.authority.card("Nobody"), tmp_path)
    foreign = stranger.files(stranger.card("Claire Vasseur"), tmp_path)
    assert refusal(trust, None) == (403, refusal(trust, None)[1])
    for card, reason, language, words in (
        (None, "certificate-missing", "en", "No card was shown"),
        (foreign, "certificate-refused", "fr", "n&#39;est pas connu de cet hôpital"),
        (nobody, "sign-in-refused", "en", "belongs to nobody here"),
    ):
        status, page = refusal(trust, card, language)
        assert status == 403
        assert f'data-reason="{reason}"' in page
        assert words in page, page
        assert f'href="{trust.base}/login"' in page, "another way in"
    office.published(office.claire)
    try:
        assert 'data-reason="certificate-revoked"' in refusal(trust, office.files)[1]
    finally:
        office.published()


def test_openssl_and_curl_meet_the_same(trust: RunningTrust, office: Office) -> None:
    """With other clients' TLS: a certificate is asked for, no session can be resumed, and the connection is TLS 1.3."""
    port = trust.environment["CLOISTER_PORT"]
    certificate, key = map(str, office.files)
    openssl = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "card.localhost", "-CAfile", str(trust.ca)]
    request = f"GET /login HTTP/1.1\r\nhost: card.localhost:{port}\r\nconnection: close\r\n\r\n".encode()
    said = subprocess.run([*openssl, "-cert", certificate, "-key", key, "-ign_eof"], input=request, capture_output=True, timeout=30).stdout
    assert b"Verify return code: 0 (ok)" in said
    assert b"TLSv1.3" in said
    assert b"Requested Signature Algorithms" in said or b"Acceptable client certificate CA names" in said
    assert b"New Session Ticket" not in said and b"Post-Handshake New Session" not in said  # noqa: PT018
    old = subprocess.run([*openssl, "-tls1_2"], input=b"", capture_output=True, timeout=30)
    assert b"protocol version" in old.stderr
    if shutil.which("curl"):
        curl = ["curl", "-sS", "--cacert", str(trust.ca), "--resolve", f"card.localhost:{port}:127.0.0.1", "-o", "/dev/null"]
        curl += ["-w", "%{http_code} %{redirect_url}", f"https://card.localhost:{port}/login/certificate"]
        taken = subprocess.run([*curl, "--cert", certificate, "--key", key], capture_output=True, text=True, timeout=30).stdout
        assert taken.startswith(f"303 https://card.localhost:{port}/login#proved="), taken
        assert subprocess.run(curl, capture_output=True, text=True, timeout=30).stdout.startswith("403")
