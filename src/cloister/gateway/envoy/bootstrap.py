"""The whole configuration, as Envoy reads it: one static document, or files of Envoy objects that it follows while it runs.

The administration interface is a UNIX socket that only Envoy's own account may open.
Envoy: envoy.config.bootstrap.v3.Bootstrap, envoy.config.core.v3.PathConfigSource.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cloister.gateway.envoy.clusters import clusters
from cloister.gateway.envoy.listener import listeners
from cloister.gateway.envoy.overload import overload_manager, runtime
from cloister.gateway.envoy.plan import Json, Plan
from cloister.gateway.envoy.tls import certificate_secret

LISTENER: Final = "envoy.config.listener.v3.Listener"
CLUSTER: Final = "envoy.config.cluster.v3.Cluster"
SECRET: Final = "envoy.extensions.transport_sockets.tls.v3.Secret"


def bootstrap(plan: Plan) -> Json:
    fixed: Json = {
        "node": {"id": plan.estate.name if plan.estate is not None else "gateway", "cluster": "cloister"},
        "admin": {"address": {"pipe": {"path": str(plan.admin_socket), "mode": 0o600}}},
        "overload_manager": overload_manager(plan),
        "layered_runtime": runtime(),
    }
    if plan.dynamic is None:
        return {**fixed, "static_resources": {"listeners": listeners(plan), "clusters": clusters(plan)}}
    followed = {"lds_config": _file(plan.dynamic / "listeners.json"), "cds_config": _file(plan.dynamic / "clusters.json")}
    return {**fixed, "dynamic_resources": followed}


def followed_files(plan: Plan) -> dict[str, Json]:
    """The files that a running Envoy follows, by name; each is replaced as a whole (rename(2)), and no connection is dropped.

    `certificate.json` holds the server's key: for Envoy's account alone.
    """
    chain, key = plan.certificate_chain.read_text(), plan.private_key.read_text()
    return {
        "certificate.json": _resources(SECRET, [certificate_secret(chain, key)]),
        "clusters.json": _resources(CLUSTER, clusters(plan)),
        "listeners.json": _resources(LISTENER, listeners(plan)),
    }


def _resources(kind: str, objects: list[Json]) -> Json:
    return {"resources": [{"@type": f"type.googleapis.com/{kind}", **one} for one in objects]}


def _file(path: Path) -> Json:
    return {"resource_api_version": "V3", "path_config_source": {"path": str(path)}}
