"""Envoy's configuration where there are several machines: doors that are asked whether they answer, and what an ingress believes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from cloister.gateway import Ingress, Plan, bootstrap, estate, ingress
from cloister.gateway.envoy.plan import CLAIM_HEADERS, TICKET_HEADER

RUN = Path("/run/cloister/example")
MACHINE = estate.Estate(folder=RUN / "farm", own=RUN / "ingress", name="c1", address="10.0.0.1", port=8444)
PLAN = Plan(
    address="0.0.0.0", port=8443, slots_folder=RUN / "slots", slots=2, door_socket=RUN / "door.sock", admin_socket=RUN / "admin.sock",
    certificate_chain=RUN / "chain.pem", private_key=RUN / "key.pem", strict_transport=True, gateway="c1", estate=MACHINE,
)  # fmt: skip


def every(node: Any, name: str) -> list[Any]:
    """All values of this key, at any depth."""
    parts = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return [found for part in parts for found in every(part, name)] + ([node[name]] if isinstance(node, dict) and name in node else [])


def headers_added(whole: Any) -> dict[str, str]:
    return {one["header"]["key"]: one["header"]["value"] for added in every(whole, "request_headers_to_add") for one in added}


def test_a_gateway_asks_its_own_door_first_and_leaves_out_doors_that_do_not_answer() -> None:
    (doors,) = [one for one in every(bootstrap(PLAN), "clusters")[0] if one["name"] == "door"]
    assert doors["health_checks"][0]["http_health_check"]["path"] == "/login/keys"
    assert doors["common_lb_config"] == {"healthy_panic_threshold": {"value": 0}}
    found = estate.members("door", [estate.Member("c2", "10.0.0.2", 8444), estate.Member("c1", "10.0.0.1", 8444, first=True)])
    (resource,) = found["resources"]
    asked = [(group["priority"], [one["endpoint"]["hostname"] for one in group["lb_endpoints"]]) for group in resource["endpoints"]]
    assert asked == [(0, ["c1"]), (1, ["c2"])]


def test_the_gateway_says_by_which_one_somebody_came_and_from_where() -> None:
    assert headers_added(bootstrap(PLAN))["x-cloister-gateway"] == "c1"
    assert "x-cloister-gateway" not in headers_added(bootstrap(replace(PLAN, gateway="", estate=None)))


def test_a_screen_may_become_a_websocket_before_its_ticket_is_read() -> None:
    for plan, cluster in ((PLAN, "servers"), (replace(PLAN, estate=None), "sessions")):
        (host,) = every(bootstrap(plan), "virtual_hosts")[0]
        screen = next(one for one in host["routes"] if one["match"].get("safe_regex", {}).get("regex") == "/programs/[^/]+/screen")
        assert list(screen["match"]) == ["safe_regex"]  # nothing of the ticket, which no filter has read by then
        assert screen["route"]["upgrade_configs"] == [{"upgrade_type": "websocket"}]
        assert screen["route"]["cluster"] == cluster


def test_an_ingress_says_anew_what_the_ticket_says_and_keeps_where_the_client_is() -> None:
    whole = ingress(Ingress(plan=PLAN, estate=MACHINE, controller=False, database=None, tunnel=None))
    removed = {one["remove"] for mutations in every(whole, "mutations") for one in mutations}
    assert removed == {*CLAIM_HEADERS.values(), TICKET_HEADER}
    assert "x-cloister-address" not in removed
    assert headers_added(whole) == {}


def test_at_the_cards_name_a_ticket_leads_to_its_server_and_the_door_alone_hears_which_card() -> None:
    chains = every(bootstrap(replace(PLAN, card_name="card.example")), "filter_chains")[0]
    (cards,) = [one for one in chains if one.get("filter_chain_match", {}).get("server_names") == ["card.example"]]
    manager = cards["filters"][0]["typed_config"]
    assert manager["forward_client_cert_details"] == "SANITIZE_SET"
    routes = manager["route_config"]["virtual_hosts"][0]["routes"]
    to_servers = [one for one in routes if one.get("route", {}).get("cluster") == "servers"]
    assert len(to_servers) == 2
    for one in to_servers:
        assert one["match"]["tls_context"] == {"presented": True}
        assert one["request_headers_to_remove"] == ["x-forwarded-client-cert"]
    assert not [one for one in routes if one.get("route", {}).get("cluster") == "sessions"]
    whole = ingress(Ingress(plan=PLAN, estate=MACHINE, controller=True, database=None, tunnel=None))
    said = {one["name"]: one["filters"][0]["typed_config"].get("forward_client_cert_details") for one in every(whole, "filter_chains")[0]}
    assert said == {"server.cloister.internal": "SANITIZE", "controller.cloister.internal": "ALWAYS_FORWARD_ONLY"}
