"""How the audit log's tree is checked here."""

from __future__ import annotations

from typing import Any

from cloister.audit import tree as audit_tree


def raw(text: str) -> bytes:
    return bytes.fromhex(text)


def tree_root(given: dict[str, Any]) -> dict[str, Any]:
    frontier = audit_tree.Frontier()
    for leaf in given["leaves"]:
        frontier.append(raw(leaf))
    return {"root": frontier.root()}


def inclusion(given: dict[str, Any]) -> dict[str, Any]:
    audit_tree.verify_inclusion(raw(given["leaf"]), given["index"], given["size"], [raw(one) for one in given["proof"]], raw(given["root"]))
    return {}


def consistency(given: dict[str, Any]) -> dict[str, Any]:
    proof = [raw(one) for one in given["proof"]]
    audit_tree.verify_consistency(given["old_size"], raw(given["old_root"]), given["size"], raw(given["root"]), proof)
    return {}


FORMATS = {"tree-root": tree_root, "inclusion": inclusion, "consistency": consistency}
