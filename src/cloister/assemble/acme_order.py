"""One order of a certificate (RFC 8555), proven by HTTP (8.3), with the client library of certbot's makers.

Two processes: the one that speaks with the authority, and answers strangers on the port of the proof, is the gateway's account and
sees the account's key and the new one only; the other writes what came out.
"""

from __future__ import annotations

import os
import ssl
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import certifi
import josepy
import requests
from acme import challenges, client, crypto_util, messages, standalone
from acme import errors as refusals

from cloister.assemble import accounts, acme
from cloister.assemble.folders import write_once
from cloister.base import preload  # noqa: F401 - what the library imports late, before the account changes
from cloister.base.errors import Unavailable
from cloister.base.process import drop_to, system_account
from cloister.base.settings import Settings
from cloister.zones import certificates

ORDER_SECONDS_MAX: Final = 90
HTTP_SECONDS_MAX: Final = 20
CHAIN_BYTES_MAX: Final = 200_000


def run_order(settings: Settings) -> None:
    """Order, and keep what comes. Raises Unavailable with the authority's own words."""
    account = settings.secrets_folder / "acme-account.key"
    write_once(account, certificates.new_tls_key())
    account_key, key = account.read_bytes(), certificates.new_tls_key()
    believed = _believed(settings)
    proofs: set[Any] = set()
    try:
        server = standalone.HTTP01DualNetworkedServers(("", settings.acme_port), proofs)
    except OSError as taken:
        hint = "Free it, or set CLOISTER_ACME_PORT to the port that port 80 is passed on to."
        raise Unavailable(f"Port {settings.acme_port} is not free for the authority's question.", hint=hint) from taken
    from_child, to_parent = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(from_child)
        _child(settings, server, proofs, account_key, key, believed, to_parent)
    os.close(to_parent)
    with os.fdopen(from_child, "rb") as answer:
        chain = answer.read(CHAIN_BYTES_MAX)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0:
        raise Unavailable(chain.decode(errors="replace")[:300] or "The order failed.", hint="See `acme.log`.", reason="acme")
    acme.keep(settings, key, chain)


def _believed(settings: Settings) -> str:
    """A file, readable by the gateway's account, of whom the authority's address is believed by."""
    system = ssl.get_default_verify_paths().cafile or certifi.where()
    path = settings.runtime / "edge" / "acme-ca.pem"
    path.write_bytes((settings.acme_ca or Path(system)).read_bytes())
    path.chmod(0o644)
    return str(path)


def _child(settings: Settings, server: Any, proofs: set[Any], account_key: bytes, key: bytes, believed: str, out: int) -> None:
    """Never returns: its exit status says whether what it wrote is a chain or a reason."""
    status = 1
    try:
        drop_to(system_account(accounts.EDGE))
        server.serve_forever()
        os.write(out, ordered(settings, proofs, account_key, key, believed).encode())
        status = 0
    except (refusals.Error, messages.Error, requests.RequestException, josepy.errors.Error, OSError) as refused:
        os.write(out, f"{type(refused).__name__}: {str(refused)[:250]}".replace("\n", " ").encode())
    except BaseException as fault:  # the process's edge: a fork must not go on in its parent's code
        os.write(out, type(fault).__name__.encode())
    finally:
        sys.stdout.flush()
        os._exit(status)


def ordered(settings: Settings, proofs: set[Any], account_key: bytes, key: bytes, believed: Any) -> str:
    """The chain in PEM, the gateway's certificate first."""
    own = josepy.jwk.JWKEC.load(account_key)
    net = client.ClientNetwork(own, alg=josepy.jwa.ES256, user_agent="cloister", verify_ssl=believed, timeout=HTTP_SECONDS_MAX)
    authority = client.ClientV2(client.ClientV2.get_directory(settings.acme_directory, net), net)
    _known(authority, net, settings.acme_email)
    order = authority.new_order(crypto_util.make_csr(key, [settings.host]))
    for one in order.authorizations:
        challenge = next((each for each in one.body.challenges if isinstance(each.chall, challenges.HTTP01)), None)
        if challenge is None:
            raise refusals.Error(f"{settings.acme_directory} offers no proof by HTTP (http-01)")
        response, validation = challenge.response_and_validation(own)
        resource = standalone.HTTP01RequestHandler.HTTP01Resource
        proofs.add(resource(chall=challenge.chall, response=response, validation=validation))
        authority.answer_challenge(challenge, response)
    deadline = datetime.now() + timedelta(seconds=ORDER_SECONDS_MAX)  # noqa: DTZ005 - the library compares with a naive moment
    return str(authority.poll_and_finalize(order, deadline).fullchain_pem)


def _known(authority: client.ClientV2, net: client.ClientNetwork, email: str) -> None:
    """Our account there: made with the first order, found by its key with every later one (7.3.1)."""
    wanted = messages.NewRegistration.from_data(email=email or None, terms_of_service_agreed=True)
    try:
        authority.new_account(wanted)
    except refusals.ConflictError as known:
        found = messages.RegistrationResource(uri=known.location, body=messages.Registration())
        net.account = found
