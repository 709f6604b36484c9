"""Cards' certificates at their own address: what Envoy says is read strictly, and the certificate is verified again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from card_authority import SERVER, Authority, pem
from cryptography.hazmat.primitives import hashes

from cloister.base.errors import Denied
from cloister.gateway.certificate import seen_certificate
from cloister.zones import certificates

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


def test_a_card_counts_by_chain_purpose_list_and_fingerprint() -> None:
    health, stranger = Authority("Health cards", now=NOW), Authority("Health cards", now=NOW)  # the same name, another key
    claire = health.card("Claire Vasseur")
    verify = certificates.verified_client
    found = verify(pem(claire), "", [pem(health.certificate)], [health.list()], now=NOW)
    assert found == claire.fingerprint(hashes.SHA256()) == certificates.fingerprint(pem(claire))
    refused = [
        (stranger.card("Claire Vasseur"), health.list(), NOW, "certificate-refused"),
        (health.card("Claire Vasseur", usage=SERVER), health.list(), NOW, "certificate-refused"),
        (claire, health.list(), NOW + timedelta(days=40), "certificate-refused"),
        (claire, health.list(claire), NOW, "certificate-revoked"),
        (claire, health.list(until=timedelta(minutes=-1)), NOW, "certificate-list"),
        (claire, stranger.list(), NOW, "certificate-list"),
    ]
    for card, crl, now, reason in refused:
        with pytest.raises(Denied) as denied:
            verify(pem(card), "", [pem(health.certificate)], [crl], now=now)
        assert denied.value.reason == reason
    with pytest.raises(Denied):
        verify(pem(claire), "", [], [health.list()], now=NOW)
    with pytest.raises(Denied):
        verify("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----", "", [pem(health.certificate)], [], now=NOW)


def test_what_envoy_says_is_one_element_or_nothing() -> None:
    one = pem(Authority("Health cards", now=NOW).card("Claire"))
    element = f'Hash={"a" * 64};Cert="{quote(one)}";Subject="CN=Claire"'
    assert seen_certificate(element)[0] == one
    for wrong in ("", "Hash=aa", f"{element},{element}", f'Subject="CN=root",{element},Hash=bb', "x" * 50_000, f"{element} and more"):
        with pytest.raises(Denied):
            seen_certificate(wrong)
