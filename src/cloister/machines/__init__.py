"""Machines of one estate towards each other: their certificates, and calls between them over mutual TLS.

Beside them the keys of browsers and of VPN clients, which are the network's too. Protects the traffic between machines, and no
record: what travels is sealed before it comes here, or is the estate's own.
"""

from cloister.machines import between, certificates, web_keys
from cloister.machines.between import Credentials, Link

__all__ = ["Credentials", "Link", "between", "certificates", "web_keys"]
