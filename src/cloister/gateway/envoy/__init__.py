"""Envoy's configuration, written from code: one file an Envoy object, JSON out."""

from cloister.gateway.envoy import estate
from cloister.gateway.envoy.bootstrap import bootstrap, followed_files
from cloister.gateway.envoy.ingress import Ingress, ingress
from cloister.gateway.envoy.plan import TICKET_COOKIE, Plan, Vpn

__all__ = ["TICKET_COOKIE", "Ingress", "Plan", "Vpn", "bootstrap", "estate", "followed_files", "ingress"]
