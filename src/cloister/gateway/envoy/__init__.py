"""Envoy's configuration, written from code: one file an Envoy object, JSON out."""

from cloister.gateway.envoy.bootstrap import bootstrap
from cloister.gateway.envoy.plan import TICKET_COOKIE, Plan

__all__ = ["TICKET_COOKIE", "Plan", "bootstrap"]
