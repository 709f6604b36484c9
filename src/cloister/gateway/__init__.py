"""The gateway: the only way in. Envoy's configuration, and the door where people and programs sign in."""

from pathlib import Path

from cloister.base.migrations import Migration, read_migrations
from cloister.gateway import assertions, clients
from cloister.gateway.door import door_application
from cloister.gateway.envoy import Plan, bootstrap
from cloister.gateway.files import StaticFile, read_files, static_file
from cloister.gateway.limits import Limits
from cloister.gateway.ports import Door, Published
from cloister.gateway.requests import language_of
from cloister.gateway.serving import serve_application


def migrations() -> list[Migration]:
    return read_migrations("gateway", Path(__file__).parent / "migrations")


__all__ = [
    "Door",
    "Limits",
    "Plan",
    "Published",
    "StaticFile",
    "assertions",
    "bootstrap",
    "clients",
    "door_application",
    "language_of",
    "migrations",
    "read_files",
    "serve_application",
    "static_file",
]
