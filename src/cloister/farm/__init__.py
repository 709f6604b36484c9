"""The farm: servers, sessions, tickets and the broker that joins them. Knows no record and holds no key of a person.

Each name is loaded when first asked for: a process holds only the modules that it needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cloister.farm import (
        came_by,
        canary,
        claims,
        enrolment,
        explaining,
        group_acts,
        groups,
        licence_forecast,
        licences,
        lines,
        lost,
        machine_store,
        machines,
        operations,
        placement,
        prelaunch,
        proofs,
        queue,
    )
    from cloister.farm.broker import Broker
    from cloister.farm.calls import AgentCalls, Started
    from cloister.farm.local_cache import LocalCache
    from cloister.farm.memory import MemoryStore
    from cloister.farm.offers import Offers
    from cloister.farm.placement import Server, Session
    from cloister.farm.states import SessionEvent, SessionState, step
    from cloister.farm.store import EstateStore, migrations
    from cloister.farm.tickets import Bearer, Tickets, verified_ticket


def __getattr__(name: str) -> Any:
    if name == "Broker":
        from cloister.farm import broker

        return getattr(broker, name)
    if name in ("AgentCalls", "Started"):
        from cloister.farm import calls

        return getattr(calls, name)
    if name == "LocalCache":
        from cloister.farm import local_cache

        return getattr(local_cache, name)
    if name == "MemoryStore":
        from cloister.farm import memory

        return getattr(memory, name)
    if name == "Offers":
        from cloister.farm import offers

        return getattr(offers, name)
    if name in ("Server", "Session"):
        from cloister.farm import placement

        return getattr(placement, name)
    if name in ("SessionEvent", "SessionState", "step"):
        from cloister.farm import states

        return getattr(states, name)
    if name in ("EstateStore", "migrations"):
        from cloister.farm import store

        return getattr(store, name)
    if name in ("Bearer", "Tickets", "verified_ticket"):
        from cloister.farm import tickets

        return getattr(tickets, name)
    raise AttributeError(name)


__all__ = [
    "AgentCalls",
    "Bearer",
    "Broker",
    "EstateStore",
    "LocalCache",
    "MemoryStore",
    "Offers",
    "Server",
    "Session",
    "SessionEvent",
    "SessionState",
    "Started",
    "Tickets",
    "came_by",
    "canary",
    "claims",
    "enrolment",
    "explaining",
    "group_acts",
    "groups",
    "licence_forecast",
    "licences",
    "lines",
    "lost",
    "machine_store",
    "machines",
    "migrations",
    "operations",
    "placement",
    "prelaunch",
    "proofs",
    "queue",
    "step",
    "verified_ticket",
]
