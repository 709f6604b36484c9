"""What the tests of the VPN share: machines (network namespaces), a client's script, and what is missing for them here."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from namespaces import Machine, Network, why_not

INSIDE: Final = {"radiology": "10.50.0.1", "administration": "10.60.0.1"}
# As openconnect's own script, without touching names: an address, and the routes that the server pushed (and, rogue, one more).
SCRIPT: Final = """#!/bin/sh
case "$reason" in connect)
  ip link set dev "$TUNDEV" up mtu "${INTERNAL_IP4_MTU:-1400}"; ip addr add "$INTERNAL_IP4_ADDRESS/32" dev "$TUNDEV"
  n=0; while [ "$n" -lt "${CISCO_SPLIT_INC:-0}" ]; do
    eval "ip route add \\$CISCO_SPLIT_INC_${n}_ADDR/\\$CISCO_SPLIT_INC_${n}_MASKLEN dev $TUNDEV"; n=$((n + 1)); done
  ip route add 10.60.0.0/24 dev "$TUNDEV" ;;
esac
"""


def lacking() -> str:
    absent = [name for name in ("ocserv", "openconnect", "iptables", "curl") if shutil.which(name) is None]
    return (
        why_not()
        or (f"{', '.join(absent)} not installed" if absent else "")
        or ("" if Path("/dev/net/tun").exists() else "no /dev/net/tun")
    )


def until(holds: Callable[[], Any], seconds: float = 15.0) -> float:
    """The seconds it took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, "not in time"
        time.sleep(0.02)
    return time.monotonic() - began


def reaches(client: Machine, place: str) -> bool:
    command = client.command("curl", "-s", "-o", "/dev/null", "--max-time", "1", f"http://{INSIDE[place]}:8000/")
    return subprocess.run(command, check=False).returncode == 0


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def wired(net: Network) -> tuple[Machine, Machine]:
    """A client at home and a gateway, with two networks of the hospital behind it."""
    client, gateway, inside = (net.machine(name) for name in ("home", "gw", "in"))
    for place in INSIDE.values():
        _ip("-n", inside.name, "addr", "add", f"{place}/24", "dev", "eth0")
        _ip("-n", gateway.name, "addr", "add", f"{place.rsplit('.', 1)[0]}.254/24", "dev", "eth0")
    _ip("-n", inside.name, "route", "add", "192.168.77.0/24", "via", gateway.address)
    subprocess.run(gateway.command("sysctl", "-qw", "net.ipv4.ip_forward=1"), check=True, capture_output=True)
    return client, gateway
