"""The farm: servers, sessions, tickets and the broker that joins them. Knows no record and holds no key of a person."""

from cloister.farm.broker import AgentCalls, Broker, Started
from cloister.farm.placement import Server, Session
from cloister.farm.states import SessionEvent, SessionState, step
from cloister.farm.store import EstateStore, migrations
from cloister.farm.tickets import Bearer, Tickets, verified_ticket

__all__ = [
    "AgentCalls",
    "Bearer",
    "Broker",
    "EstateStore",
    "Server",
    "Session",
    "SessionEvent",
    "SessionState",
    "Started",
    "Tickets",
    "migrations",
    "step",
    "verified_ticket",
]
