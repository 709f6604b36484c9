"""Envoy's configuration as JSON, compared with a kept copy: no change of it goes unnoticed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from cloister.gateway import Plan, bootstrap, vpn

GOLDEN: Final = Path(__file__).parent / "golden"


def _plan(slots: int = 2) -> Plan:
    run = Path("/run/cloister/example")
    return Plan(
        address="127.0.0.1", port=8443, slots_folder=run / "slots", slots=slots, door_socket=run / "door.sock",
        admin_socket=run / "edge" / "admin.sock", certificate_chain=run / "edge" / "chain.pem", private_key=run / "edge" / "key.pem",
        strict_transport=True, http3=True, vpn=vpn.Front(name="vpn.trust.example", address="127.0.0.1", port=4443),
        card_name="card.trust.example",
    )  # fmt: skip


def objects() -> dict[str, Any]:
    """A file an Envoy object, as a reviewer reads them."""
    whole = bootstrap(_plan())
    static = whole.pop("static_resources")
    named = {f"listener-{one['name']}.json": one for one in static["listeners"]}
    return {"bootstrap.json": whole, **named, **{f"cluster-{one['name']}.json": one for one in static["clusters"]}}


def _every(node: Any, name: str) -> list[Any]:
    """All values of this key, at any depth."""
    if isinstance(node, list):
        return [found for part in node for found in _every(part, name)]
    if not isinstance(node, dict):
        return []
    return ([node[name]] if name in node else []) + [found for part in node.values() for found in _every(part, name)]


def test_the_configuration_is_the_one_that_was_reviewed() -> None:
    """To accept a change: python tests/gateway/test_envoy_configuration.py, and read the difference."""
    kept = {path.name: json.loads(path.read_text()) for path in GOLDEN.glob("*.json")}
    for name, content in objects().items():
        assert content == kept.pop(name, None), name
    assert not kept, "an Envoy object is gone"


def test_a_ticket_for_an_unknown_slot_can_fall_back_to_nobody() -> None:
    (override,) = [policy for policy in _every(bootstrap(_plan()), "typed_config") if str(policy.get("@type")).endswith("OverrideHost")]
    (child,) = override["fallback_policy"]["policies"]
    assert child["typed_extension_config"]["name"] == "envoy.load_balancing_policies.subset"
    assert child["typed_extension_config"]["typed_config"]["fallback_policy"] == "NO_FALLBACK"


def test_the_administration_interface_is_a_private_socket() -> None:
    assert bootstrap(_plan())["admin"] == {"address": {"pipe": {"path": "/run/cloister/example/edge/admin.sock", "mode": 0o600}}}


def test_every_slot_is_declared_once() -> None:
    paths = [pipe["path"] for pipe in _every(bootstrap(_plan(500)), "pipe") if "/slots/" in pipe["path"]]
    assert len(paths) == len(set(paths)) == 500


def test_hybrid_key_exchange_comes_first() -> None:
    assert _every(bootstrap(_plan()), "ecdh_curves") == [["X25519MLKEM768", "X25519", "P-256"]] * 3


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for name, content in objects().items():
        (GOLDEN / name).write_text(json.dumps(content, indent=1) + "\n")
