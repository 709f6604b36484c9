"""The VPN: ocserv, configured and driven from here. Its door is a certificate of hours that a signed-in person's session fetches."""

from cloister.gateway.envoy import Vpn as Front
from cloister.gateway.vpn.issuing import Issuer
from cloister.gateway.vpn.ocserv import Place, configuration
from cloister.gateway.vpn.profile import Group, Profile, read_profile
from cloister.gateway.vpn.tunnels import Told, Tunnels
from cloister.gateway.vpn.watching import Tunnel, Watch, shown

__all__ = ["Front", "Group", "Issuer", "Place", "Profile", "Told", "Tunnel", "Tunnels", "Watch", "configuration", "read_profile", "shown"]
