"""The only way out: empty notifications to addresses that the operator allows. docs/subscriptions.md."""

from cloister.gateway.outbound.rounds import Rounds

__all__ = ["Rounds"]
