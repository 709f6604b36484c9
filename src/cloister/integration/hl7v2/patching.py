"""What a message says about a resource that may be there already: given, deleted (the null value ""), or not spoken of. HL7 v2.5 2.5.3.

Not spoken of stays as it is: an A08 without an address does not take the address away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

Json = dict[str, Any]


class Delete:
    """Stands for the null value."""


DELETE: Final = Delete()
Patch = dict[str, Any]  # element to value or DELETE
SERVER: Final = ("versionId", "lastUpdated")


def patched(existing: Mapping[str, Any] | None, patch: Patch) -> Json:
    """A new resource; `existing` is not changed."""
    found = dict(existing or {})
    for name, value in patch.items():
        if value is DELETE:
            found.pop(name, None)
        elif value not in (None, [], {}, ""):
            found[name] = value
    return found


def same(one: Mapping[str, Any] | None, other: Mapping[str, Any]) -> bool:
    """Whether nothing but the server's own words differ."""
    return one is not None and _bare(one) == _bare(other)


def _bare(resource: Mapping[str, Any]) -> Json:
    meta = {name: value for name, value in (resource.get("meta") or {}).items() if name not in SERVER}
    return {**{name: value for name, value in resource.items() if name != "meta"}, **({"meta": meta} if meta else {})}
