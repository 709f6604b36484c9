"""The roof: each process of Cloister built by hand, one function a process, and the founding of a trust.

Names are imported when they are called: a part that is started as a process must not load the supervisor's modules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloister.base.errors import Denied, Unavailable
from cloister.base.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    import asyncpg

    from cloister.access import rules
    from cloister.assemble.mandating import Candidate
    from cloister.audit import Checkpoint
    from cloister.zones import TrustRoots


def up(settings: Settings) -> int:
    """The whole trust on this machine until Ctrl-C; the process's exit code."""
    from cloister.assemble.running import run_up

    return run_up(settings)


async def owner_connection(settings: Settings) -> asyncpg.Connection[Any]:
    """The database as its owner, beside the store gate: for whoever looks at it as the machine's administrator."""
    from cloister.assemble.postgres import owner_connection as connect

    return await connect(settings)


def pinned_roots(settings: Settings) -> TrustRoots:
    """The trust's public roots, from this server's own file."""
    from cloister.assemble.roots import pinned_roots as pinned

    return pinned(settings)


async def mandate_candidate(settings: Settings, office: str, sign_in: str, *, now: datetime) -> Candidate:
    """Who would be mandated, with the words of their keys; raises by name when this person cannot hold the office."""
    from cloister.assemble.mandating import candidate

    return await candidate(settings, office, sign_in, now=now)


async def sign_mandate(settings: Settings, chosen: Candidate, **terms: Any) -> bytes:
    """The root's signature over a mandate, put on record; its hash. `terms` are those of assemble/mandating.py."""
    from cloister.assemble.mandating import mandate

    return await mandate(settings, chosen, **terms)


def server_names(settings: Settings) -> list[str]:
    """Every name in the certificate of this trust's gateway."""
    from cloister.assemble.edge import names_of

    return names_of(settings)


def verify_checkpoint(settings: Settings, note: str) -> Checkpoint:
    """What this trust's store gate signed of the audit log; raises Corrupt for anything else."""
    from cloister.assemble.checkpoints import verify_checkpoint as verify

    return verify(settings, note)


async def sign_restore(settings: Settings, officer: str, reason: str, passphrase: str) -> str:
    """One of the two officers' words that a restored database is meant; what to say afterwards."""
    from cloister.assemble.restoring import sign_restore as sign

    return await sign(settings, officer, reason, passphrase)


def witness_report(settings: Settings) -> dict[str, Any] | None:
    """How it stands with the audit log's witnesses; None before the first round."""
    from cloister.assemble.witnessing import read_report

    return read_report(settings)


def controller_token(settings: Settings) -> str:
    """The controller's word to the other parts, which this machine's administrator may use; Denied for everybody else."""
    from cloister.assemble.folders import service_token

    try:
        return service_token(settings, "controller")
    except FileNotFoundError as gone:
        raise Unavailable(f"There is no trust in {settings.state}.", hint="Start one with `cloister up`, or set CLOISTER_STATE.") from gone
    except OSError as wrong:
        raise Denied("The trust's secrets belong to another user.", hint="Run this as the user who runs `cloister up`.") from wrong


def signed_rules(settings: Settings, bundle: rules.Bundle, passphrase: str, folder: Path | None) -> bytes:
    """The trust's rules under the access root's signature; the root is opened for this one signature."""
    from cloister.assemble.rules_signing import sign_rules

    return sign_rules(settings, bundle, passphrase, folder)


async def controllers_word(settings: Settings, entries: Sequence[dict[str, str]]) -> None:
    """Audit entries of who works at the machine's command line; durable when this returns."""
    from cloister.base.wire import Caller

    token = controller_token(settings)
    gate = Caller(settings.socket("gate"), part="store gate")
    try:
        await gate.call("audit_append", token=token, entries=list(entries))
    finally:
        gate.close()


__all__ = [
    "controller_token",
    "controllers_word",
    "mandate_candidate",
    "owner_connection",
    "pinned_roots",
    "server_names",
    "sign_mandate",
    "signed_rules",
    "sign_restore",
    "up",
    "verify_checkpoint",
    "witness_report",
]
