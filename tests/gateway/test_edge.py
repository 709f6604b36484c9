"""The edge as strangers and reloads meet it: paths, groups, HTTP/3, limits, certificates that change under open requests."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from gateway_rig import CARDS, Rig, free_port, write_followed

from cloister.assemble.edge import envoy_program
from cloister.zones import certificates

UNSOUND: Final = (
    "/login;x=1", "/login/..;/patients", "/static/%2e%2e/x", "/static/%2E./x", "/static/..", "/static/./x", "/login%00", "/login%2Fx",
    "/static/a%5cb", "/static/a%3bb", "/fhir/R4/Patient/..%2f..%2flogin", "/login/../patients", "/../etc/passwd",
)  # fmt: skip


def raw(gateway: Rig, request: bytes) -> bytes:
    """The first bytes of an answer to these very bytes, over HTTP/1.1."""
    context = ssl.create_default_context(cafile=str(gateway.ca))
    with socket.create_connection(("127.0.0.1", gateway.plan.port), timeout=10) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as tls:
            tls.sendall(request)
            answer = b""
            while b"\r\n\r\n" not in answer:
                part = tls.recv(4096)
                if not part:
                    break
                answer += part
            return answer


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else 0


@pytest.mark.parametrize("path", UNSOUND)
def test_a_path_in_another_than_its_plain_form_is_refused(gateway: Rig, path: str) -> None:
    ticket = gateway.ticket(0)
    for cookie in ("", f"cookie: __Host-ticket={ticket}\r\n"):
        answer = raw(gateway, f"GET {path} HTTP/1.1\r\nhost: localhost\r\n{cookie}connection: close\r\n\r\n".encode())
        assert status(answer) == 400, answer


def test_plain_paths_and_any_query_are_taken(gateway: Rig) -> None:
    for path in ("/patients/a.b", "/fhir/R4/Patient/$everything", "/fhir/R4/Patient?name=a;b/../c%2f", "/x/..a", "/a%20b"):
        assert gateway.get(path, gateway.ticket(0)).json()["served_by"] == "slot 0", path


def test_an_apps_page_can_read_why_it_was_refused(gateway: Rig) -> None:
    refused = gateway.get("/fhir/R4/Patient", origin="https://app.example")
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "*")
    assert "access-control-allow-credentials" not in refused.headers
    assert "access-control-allow-origin" not in gateway.get("/fhir/R4/Patient").headers
    assert "access-control-allow-origin" not in gateway.get("/patients", origin="https://app.example").headers


@contextmanager
def client_envoy(gateway: Rig, folder: Path, *, curves: list[str], http3: bool) -> Iterator[httpx.Client]:
    """A second Envoy as a client of the gateway: it speaks what no Python client here does."""
    port = free_port()
    tls: dict[str, Any] = {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3", "ecdh_curves": curves},
        "validation_context": {"trusted_ca": {"filename": str(gateway.ca)}},
    }
    kind = "type.googleapis.com/envoy.extensions.transport_sockets"
    context = {"@type": f"{kind}.tls.v3.UpstreamTlsContext", "sni": "localhost", "common_tls_context": tls}
    quic = {"@type": f"{kind}.quic.v3.QuicUpstreamTransport", "upstream_tls_context": {k: v for k, v in context.items() if k != "@type"}}
    protocol = {"explicit_http_config": {"http3_protocol_options": {}} if http3 else {"http2_protocol_options": {}}}
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    manager = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    router = {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "gateway", "host_rewrite_literal": "localhost"}}]
    here = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    there = {"socket_address": {"address": "127.0.0.1", "port_value": gateway.plan.port}}
    hcm = {
        "@type": f"type.googleapis.com/{manager}",
        "stat_prefix": "client",
        "http_filters": [{"name": "router", "typed_config": router}],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
    }
    cluster = {
        "name": "gateway",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "gateway", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": there}}]}]},
        "transport_socket": {
            "name": "envoy.transport_sockets.quic" if http3 else "envoy.transport_sockets.tls",
            "typed_config": quic if http3 else context,
        },
        "typed_extension_protocol_options": {options: {"@type": f"type.googleapis.com/{options}", **protocol}},
    }
    chains = [{"filters": [{"name": "hcm", "typed_config": hcm}]}]
    (folder / "client.json").write_text(
        json.dumps({"static_resources": {"listeners": [{"name": "c", "address": here, "filter_chains": chains}], "clusters": [cluster]}})
    )
    command = [str(envoy_program()), "-c", str(folder / "client.json"), "--disable-hot-restart", "--concurrency", "1", "-l", "error"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            yield client
    finally:
        process.terminate()
        process.wait(10)


def test_a_client_that_offers_only_the_hybrid_group_is_answered(gateway: Rig, tmp_path: Path) -> None:
    before = sum(gateway.stats("curves.X25519MLKEM768").values())
    with client_envoy(gateway, tmp_path, curves=["X25519MLKEM768"], http3=False) as client:
        assert client.get("/login").json()["served_by"] == "door"
    assert sum(gateway.stats("curves.X25519MLKEM768").values()) == before + 1


def test_http3_is_offered_and_spoken(gateway: Rig, tmp_path: Path) -> None:
    assert gateway.get("/login").headers["alt-svc"].startswith(f'h3=":{gateway.plan.port}"')
    with client_envoy(gateway, tmp_path, curves=["X25519MLKEM768", "X25519"], http3=True) as client:
        answer = client.get("/patients", headers={"cookie": f"__Host-ticket={gateway.ticket(0)}", "x-cloister-sid": "x"})
        assert answer.json()["headers"]["x-cloister-sid"] == "session-of-adele"
        assert client.get("/patients").status_code == 401
    assert sum(gateway.stats("http3.downstream_cx_total").values()) or sum(gateway.stats("downstream_cx_http3_total").values())


def leaf(gateway: Rig) -> str:
    return ssl.get_server_certificate(("127.0.0.1", gateway.plan.port))


def test_a_new_certificate_drops_no_open_request(gateway: Rig) -> None:
    """Nor does a changed listener: the request that runs over both ends whole."""
    lines: list[str] = []

    def read() -> None:
        with gateway.client() as client, client.stream("GET", "/login/slow") as answer:
            lines.extend(answer.iter_lines())

    reader = threading.Thread(target=read)
    reader.start()
    time.sleep(0.5)
    before = leaf(gateway)
    key, chain = certificates.tls_certificate(*gateway.authority, ["localhost", "127.0.0.1", CARDS], 2)
    gateway.plan.private_key.write_bytes(key)
    gateway.plan.certificate_chain.write_bytes(chain)
    gateway.follow()
    deadline = time.monotonic() + 5
    while leaf(gateway) == before:
        assert time.monotonic() < deadline, "the new certificate is not served"
        time.sleep(0.05)
    write_followed(replace(gateway.plan, connections_max=19_999, address_requests_per_second=401))
    reader.join(20)
    gateway.follow()
    assert lines == [str(number) for number in range(30)]


def test_one_address_that_floods_the_door_is_held_and_others_wait_for_nothing(gateway: Rig) -> None:
    write_followed(replace(gateway.plan, address_requests_per_second=5))
    try:
        deadline = time.monotonic() + 10
        with gateway.client() as client:
            while (answer := client.get("/login")).status_code == 200:
                assert time.monotonic() < deadline
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
            assert answer.json()["category"] == "busy"
            assert client.get("/static/app.js").status_code == 200, "what is not a sign-in is not counted"
    finally:
        gateway.follow()


def spoken(gateway: Rig, version: ssl.TLSVersion) -> str | None:
    """The version that is agreed on with a client that speaks nothing newer; None where there is none."""
    context = ssl.create_default_context(cafile=str(gateway.ca))
    context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", gateway.plan.port), timeout=10) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="localhost") as tls:
                return tls.version()
        except (ssl.SSLError, ConnectionError):
            return None


def test_tls_is_1_3_and_1_2_only_where_the_settings_want_it(gateway: Rig) -> None:
    assert spoken(gateway, ssl.TLSVersion.TLSv1_2) is None
    assert spoken(gateway, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
    write_followed(replace(gateway.plan, tls_minimum="TLSv1_2"))
    try:
        deadline = time.monotonic() + 10
        while spoken(gateway, ssl.TLSVersion.TLSv1_2) is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        gateway.follow()
    deadline = time.monotonic() + 10
    while spoken(gateway, ssl.TLSVersion.TLSv1_2) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
