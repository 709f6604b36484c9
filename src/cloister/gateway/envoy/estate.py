"""Between machines: mutual TLS with the estate's certificates, and clusters whose members come from watched files.

Each machine shows its own certificate, and is believed by the name in it: an endpoint's host name is the machine's name, sent
as SNI and compared with the certificate, so that a server's address leads to that server or to nobody. Certificates, the
revocation list and the members are files that are replaced whole; Envoy takes up the new ones by itself.
Envoy: envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, envoy.config.endpoint.v3.ClusterLoadAssignment.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloister.gateway.envoy.plan import CLAIM_HEADERS, DOOR_CLUSTER, Json, typed
from cloister.gateway.envoy.tls import GROUPS

DOMAIN: Final = "cloister.internal"
SERVERS: Final = f".server.{DOMAIN}"
CONTROLLERS: Final = f".controller.{DOMAIN}"
DATABASE: Final = f"database.{DOMAIN}"
SERVERS_CLUSTER: Final = "servers"
DATABASE_CLUSTER: Final = "database"
CONNECT: Final = "1s"
SLOT_PATTERN: Final = r"/.+/slots/[0-9]{1,5}\.sock"
HOST_PATTERN: Final = r"[0-9a-fA-F.:\[\]]+"


@dataclass(frozen=True, slots=True, kw_only=True)
class Estate:
    """This machine's files. `folder` is watched and the same for all; `own` is private to one Envoy, and holds the machine's key."""

    folder: Path
    own: Path
    name: str  # of this machine
    address: str = ""
    port: int = 0

    def file(self, name: str) -> Path:
        return self.folder / name


@dataclass(frozen=True, slots=True)
class Member:
    """One machine of a cluster."""

    name: str  # as in its certificate
    address: str
    port: int
    first: bool = False  # asked before the others, as long as it is healthy


def members(cluster: str, found: Iterable[Member]) -> Json:
    """The file of a cluster's members (EDS)."""
    by_priority: dict[int, list[Json]] = {}
    ordered = sorted(found, key=lambda one: (not one.first, one.name))
    leading = any(one.first for one in ordered)
    for one in ordered:
        where = {"socket_address": {"address": one.address, "port_value": one.port}}
        by_priority.setdefault(0 if one.first or not leading else 1, []).append({"endpoint": {"hostname": one.name, "address": where}})
    groups = [{"priority": priority, "lb_endpoints": entries} for priority, entries in sorted(by_priority.items())]
    kind = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
    return {"resources": [{"@type": kind, "cluster_name": cluster, "endpoints": groups}]}


def own_secret(estate: Estate) -> Json:
    """The file that names this machine's certificate (SDS)."""
    files = {
        "certificate_chain": {"filename": str(estate.file("chain.pem"))},
        "private_key": {"filename": str(estate.own / "machine.key")},
        "watched_directory": {"path": str(estate.folder)},
    }
    return _secret("machine", tls_certificate=files)


def believed(estate: Estate, name: str, suffixes: Iterable[str]) -> Json:
    """The file that says whom this machine believes: the estate's authority, its revocation list, and kinds of names (SDS)."""
    match = [{"san_type": "DNS", "matcher": {"suffix": suffix}} for suffix in suffixes]
    context = {
        "trusted_ca": {"filename": str(estate.file("authority.pem"))},
        "crl": {"filename": str(estate.file("revoked.pem"))},
        "only_verify_leaf_cert_crl": True,
        "match_typed_subject_alt_names": match,
        "watched_directory": {"path": str(estate.folder)},
    }
    return _secret(name, validation_context=context)


def _secret(name: str, **fields: Json) -> Json:
    return {"resources": [{"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret", "name": name, **fields}]}


def common(estate: Estate, believing: str) -> Json:
    """TLS 1.3 only: both ends are ours."""

    def from_file(name: str) -> Json:
        return {"name": name, "sds_config": {"path_config_source": {"path": str(estate.own / f"{name}.json")}}}

    return {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3", "ecdh_curves": GROUPS},
        "tls_certificate_sds_secret_configs": [from_file("machine")],
        "validation_context_sds_secret_config": from_file(believing),
    }


def towards(estate: Estate, believing: str, sni: str = "") -> Json:
    """To the machine that the endpoint's name says, or to any controller under a name of ours."""
    fields: Json = {"sni": sni} if sni else {"auto_host_sni": True, "auto_sni_san_validation": True}
    kind = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
    return typed("envoy.transport_sockets.tls", kind, common_tls_context=common(estate, believing), **fields)


def _from_file(estate: Estate, cluster: str) -> Json:
    source = {"path_config_source": {"path": str(estate.file(f"{cluster}.json"))}}
    # A machine that lost its power sends no farewell: a connection that is not acknowledged ends by itself.
    keepalive = {"tcp_keepalive": {"keepalive_probes": 2, "keepalive_time": 2, "keepalive_interval": 1}}
    return {
        "name": cluster,
        "type": "EDS",
        "eds_cluster_config": {"eds_config": source},
        "connect_timeout": CONNECT,
        "upstream_connection_options": keepalive,
        "circuit_breakers": {
            "thresholds": [{"max_connections": 100_000, "max_pending_requests": 10_000, "max_requests": 100_000, "max_retries": 100}]
        },
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "ignore_health_on_host_removal": True,
    }


def _http() -> Json:
    kind = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    options = typed("", kind, common_http_protocol_options={"idle_timeout": "60s"}, explicit_http_config={"http_protocol_options": {}})
    return {kind: options["typed_config"]}


def nobody() -> Json:
    """What override_host falls back to: a subset that nothing is in."""
    round_robin = typed("envoy.load_balancing_policies.round_robin", "envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin")
    return typed(
        "envoy.load_balancing_policies.subset",
        "envoy.extensions.load_balancing_policies.subset.v3.Subset",
        fallback_policy="NO_FALLBACK",
        subset_selectors=[{"keys": ["never"]}],
        subset_lb_policy={"policies": [{"typed_extension_config": round_robin}]},
    )


def by_claim(claim: str) -> Json:
    """The member that a verified ticket's claim names, or none."""
    by_ticket = typed(
        "envoy.load_balancing_policies.override_host",
        "envoy.extensions.load_balancing_policies.override_host.v3.OverrideHost",
        override_host_sources=[{"header": CLAIM_HEADERS[claim]}],
        fallback_policy={"policies": [{"typed_extension_config": nobody()}]},
    )
    return {"policies": [{"typed_extension_config": by_ticket}]}


def servers_cluster(estate: Estate) -> Json:
    """The ingresses of all servers, of which only a ticket's `host` can choose one."""
    return {
        **_from_file(estate, SERVERS_CLUSTER),
        "transport_socket": towards(estate, "believed-servers"),
        "typed_extension_protocol_options": _http(),
        "load_balancing_policy": by_claim("host"),
    }


def doors_cluster(estate: Estate) -> Json:
    """The doors of all controllers, this machine's first: each is asked by itself whether it can serve, so that a dead one is left out."""
    check = {
        "timeout": "1s",
        "interval": "1s",
        "no_traffic_interval": "1s",
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
        "http_health_check": {"path": "/login/keys", "host": "door"},
    }
    return {
        **_from_file(estate, DOOR_CLUSTER),
        "transport_socket": towards(estate, "believed-controllers"),
        "typed_extension_protocol_options": _http(),
        "health_checks": [check],
    }


def database_cluster(estate: Estate) -> Json:
    """PostgreSQL has no TLS of its own here, so its bytes travel in ours."""
    return {**_from_file(estate, DATABASE_CLUSTER), "transport_socket": towards(estate, "believed-controllers", DATABASE)}


def elsewhere_route(route: Json, match: Json) -> Json:
    """To a server's ingress, for tickets that name a host. A route is chosen anew once the ticket is verified (clear_route_cache)."""
    named = {"name": CLAIM_HEADERS["host"], "present_match": True}
    return {"match": {**match, "headers": [named]}, "route": {**route, "cluster": SERVERS_CLUSTER}}


def claims_are(pattern_of: dict[str, str]) -> Json:
    """A permission: each of these claims has this form."""
    rules: list[Json] = [
        {"header": {"name": CLAIM_HEADERS[claim], "string_match": {"safe_regex": {"regex": pattern}}}}
        for claim, pattern in pattern_of.items()
    ]
    return {"and_rules": {"rules": rules}} if len(rules) > 1 else rules[0]


def files_of(estate: Estate) -> dict[str, Json]:
    """The files in `own` that say which certificate is shown and who is believed, by name."""
    return {
        "machine.json": own_secret(estate),
        "believed-servers.json": believed(estate, "believed-servers", [SERVERS]),
        "believed-controllers.json": believed(estate, "believed-controllers", [CONTROLLERS]),
        "believed-machines.json": believed(estate, "believed-machines", [SERVERS, CONTROLLERS]),
    }
