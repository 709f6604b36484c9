"""Managed-browser policies, as Chromium and Edge read them (chromeenterprise.google/policies; Edge has names of its own for some).

For every workstation: only what concerns the trust's own address. For a thin terminal also what shuts everything else.
"""

from __future__ import annotations

import base64
import ipaddress
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

Policies = Mapping[str, Any]
NOWHERE: Final = "192.0.2.0/32"  # RFC 5737: an address of documentation
# What a terminal must not do: another address, another profile, developer tools, files, stored passwords.
SHUT: Final[dict[str, Any]] = {
    "URLBlocklist": ["*"],
    "DeveloperToolsAvailability": 2,
    "DownloadRestrictions": 3,
    "AllowFileSelectionDialogs": False,
    "BrowserAddPersonEnabled": False,
    "BrowserGuestModeEnabled": False,
    "BrowserSignin": 0,
    "SyncDisabled": True,
    "PasswordManagerEnabled": False,
    "TranslateEnabled": False,
    "EditBookmarksEnabled": False,
    "ExtensionInstallBlocklist": ["*"],
    "MetricsReportingEnabled": False,
    "SearchSuggestEnabled": False,
    "SafeBrowsingProtectionLevel": 0,  # it would ask others about addresses, and there is one address only
    "BackgroundModeEnabled": False,
}
ONLY_CHROMIUM: Final = frozenset({"SafeBrowsingProtectionLevel", "MetricsReportingEnabled"})  # Edge has its own names for these

NAME_IN_EDGE: Final = {
    "ManagedBookmarks": "ManagedFavorites",
    "EditBookmarksEnabled": "EditFavoritesEnabled",
    "BrowserAddPersonEnabled": "BrowserAddProfileEnabled",
}


def workstation(origin: str, card_origin: str, anchors: Sequence[bytes], names: Sequence[str]) -> dict[str, Any]:
    """`origin`: https://host[:port]; `card_origin`: where a browser shows its client certificate, or empty.

    `anchors`: authorities in DER, believed for `names` alone: those that the server's certificate has.
    """
    host = urlsplit(origin).hostname or ""
    policies: dict[str, Any] = {
        "LocalNetworkAccessAllowedForUrls": [origin],  # the card agent of this very workstation
        "LoopbackNetworkAllowedForUrls": [origin],  # the same, as later browsers call it
        "PopupsAllowedForUrls": [origin],
        "ClipboardAllowedForUrls": [origin],
        "ManagedBookmarks": [{"toplevel_name": "Cloister"}, {"name": host, "url": f"{origin}/"}],
    }
    if card_origin:
        policies["AutoSelectCertificateForUrls"] = [json.dumps({"pattern": card_origin, "filter": {}}, separators=(",", ":"))]
    if anchors:
        # The trust's authority is no authority for any other site.
        policies["CACertificatesWithConstraints"] = [
            {"certificate": base64.b64encode(one).decode(), "constraints": _only(names)} for one in anchors
        ]
    return policies


def _only(names: Sequence[str]) -> dict[str, list[str]]:
    """Every name in the server's certificate must be allowed, and a kind of name that is not spoken of is not constrained
    (RFC 5280, 4.2.1.10): where there is none of a kind, one is allowed that cannot exist."""
    hosts, addresses = [], []
    for name in names:
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            hosts.append(name)
        else:
            addresses.append(f"{address}/{address.max_prefixlen}")
    return {"permitted_dns_names": hosts or ["host.invalid"], "permitted_cidrs": addresses or [NOWHERE]}


def terminal(origin: str, card_origin: str) -> dict[str, Any]:
    """Beside `workstation`, for a machine that shows the record and nothing else."""
    allowed = [origin, *([card_origin] if card_origin else []), "http://127.0.0.1:27443"]
    return {**SHUT, "URLAllowlist": allowed, "HomepageLocation": f"{origin}/", "HomepageIsNewTabPage": False, "RestoreOnStartup": 5}


def for_edge(policies: Policies) -> dict[str, Any]:
    """Of these, what Microsoft Edge has in the same form, by its own names (learn.microsoft.com/deployedge/microsoft-edge-policies)."""
    return {NAME_IN_EDGE.get(name, name): value for name, value in policies.items() if name not in ONLY_CHROMIUM}


def registry(policies: Policies, place: str) -> str:
    """The same as a .reg file of Windows: lists of texts are numbered values of a key, everything deeper is JSON in one value."""
    lines = ["Windows Registry Editor Version 5.00", "", f"[HKEY_LOCAL_MACHINE\\{place}]"]
    below: list[str] = []
    for name, value in sorted(policies.items()):
        if isinstance(value, bool | int):
            lines.append(f'"{name}"=dword:{int(value):08x}')
        elif isinstance(value, list) and all(isinstance(one, str) for one in value):
            below += ["", f"[HKEY_LOCAL_MACHINE\\{place}\\{name}]"]
            below += [f'"{number}"={_quoted(one)}' for number, one in enumerate(value, start=1)]
        else:
            text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":"))
            lines.append(f'"{name}"={_quoted(text)}')
    return "\r\n".join([*lines, *below, ""])


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
