"""The gateway: the only way in. Envoy's configuration, and the door where people and programs sign in.

Each name is loaded when first asked for: a process holds only the modules that it needs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloister.base.migrations import Migration, read_migrations

if TYPE_CHECKING:
    from cloister.gateway import assertions, clients, envoy, limits, sign_ins, vpn
    from cloister.gateway.door import door_application
    from cloister.gateway.envoy import Ingress, Plan, bootstrap, estate, followed_files, ingress
    from cloister.gateway.files import StaticFile, read_files, static_file
    from cloister.gateway.limits import Limits
    from cloister.gateway.ports import Door, Published
    from cloister.gateway.requests import language_of
    from cloister.gateway.serving import serve_application


def __getattr__(name: str) -> Any:
    if name == "door_application":
        from cloister.gateway import door

        return getattr(door, name)
    if name in ("Ingress", "Plan", "bootstrap", "estate", "followed_files", "ingress"):
        from cloister.gateway import envoy

        return getattr(envoy, name)
    if name in ("StaticFile", "read_files", "static_file"):
        from cloister.gateway import files

        return getattr(files, name)
    if name == "Limits":
        from cloister.gateway import limits

        return getattr(limits, name)
    if name in ("Door", "Published"):
        from cloister.gateway import ports

        return getattr(ports, name)
    if name == "language_of":
        from cloister.gateway import requests

        return getattr(requests, name)
    if name == "serve_application":
        from cloister.gateway import serving

        return getattr(serving, name)
    raise AttributeError(name)


def migrations() -> list[Migration]:
    return read_migrations("gateway", Path(__file__).parent / "migrations")


__all__ = [
    "Door",
    "Ingress",
    "Limits",
    "Plan",
    "Published",
    "StaticFile",
    "assertions",
    "bootstrap",
    "clients",
    "door_application",
    "envoy",
    "estate",
    "followed_files",
    "ingress",
    "language_of",
    "limits",
    "migrations",
    "read_files",
    "serve_application",
    "sign_ins",
    "static_file",
    "vpn",
]
