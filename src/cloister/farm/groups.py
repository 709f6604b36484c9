"""What is published and where: applications, and delivery groups that join them to servers. Pure.

A server offers the applications of its groups. A group takes servers by name or by label, may be of one hospital and of some roles,
and may ask for one image version: a server that runs another one then gets nobody of that group, and the refusal says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Final

from cloister.base.errors import Invalid
from cloister.identity import Role

RECORD: Final = "record"  # the application that every trust has
DEFAULT_GROUP: Final = "default"  # a server that names no group is of this one
TOLERANCE: Final = 4  # sign-ins at once on a server; more only wait for each other's processor
TOLERANCE_MAX: Final = 1_000
SERVER_SESSIONS_MAX: Final = 20_000
NAMES_MAX: Final = 2_000  # servers, labels, applications or roles of one group
TEXT_CHARACTERS_MAX: Final = 100
ROLES: Final = frozenset(role.value for role in Role)
_ID: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


class ApplicationKind(StrEnum):
    RECORD = "record"  # this record, as pages
    DESKTOP = "desktop"  # a whole Linux desktop
    WINDOW = "window"  # one Linux program
    WINDOWS = "windows"  # one Windows program


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """What a person may start. `settings` is for whoever starts it on the server; the broker does not read it."""

    id: str
    name: str
    kind: ApplicationKind
    settings: Mapping[str, Any] = field(default_factory=dict)
    sessions_max: int | None = None  # at once, in the whole trust
    each_max: int = 1  # at once, of one person; a program has its own bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A delivery group. Empty `hospital`: of every hospital; empty `image`: whatever version a server runs; no `roles`: every role.

    `servers` and `labels` choose its servers, beside those whose agents name it.
    """

    id: str
    name: str = ""
    hospital: str = ""
    image: str = ""
    applications: tuple[str, ...] = (RECORD,)
    tolerance: int = TOLERANCE
    server_max: int | None = None  # sessions on one server, where its slots do not bound them
    servers: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()

    def publishes(self, application: str, hospital: str, role: str) -> bool:
        return (
            application in self.applications and (not self.hospital or self.hospital == hospital) and (not self.roles or role in self.roles)
        )


THE_RECORD: Final = Application(id=RECORD, name="Patient record", kind=ApplicationKind.RECORD)
EVERYBODY: Final = Group(id=DEFAULT_GROUP, name="Every server that names no group")


def changed(group: Group, words: Mapping[str, Any]) -> Group:
    """The group with what `words` name written anew; what they do not name stays. Raises Invalid, naming the word."""
    unknown = sorted(set(words) - {one.name for one in fields(Group)})
    if unknown:
        raise Invalid(f"A delivery group has no '{unknown[0][:40]}'.", reason="group-field")
    found = {name: READ[name](name, value) for name, value in words.items()}
    made = replace(group, **found)
    if not made.applications:
        raise Invalid("A group publishes at least one application.", hint="--application record", reason="group-applications")
    if made.id == DEFAULT_GROUP and (made.servers or made.labels):
        text = f"Group '{DEFAULT_GROUP}' is of every server that no other group chooses."
        raise Invalid(text, hint="Write a group of its own for these servers.", reason="group-default")
    return made


def label(name: str, value: object) -> str:
    """A short name of small letters, digits and hyphens: of a group, or a label of servers."""
    if not isinstance(value, str) or _ID.fullmatch(value) is None:
        hint = "Use 1 to 40 small letters, digits and hyphens."
        raise Invalid(f"'{str(value)[:60]}' is no name for a {'group' if name == 'id' else 'label'}.", hint=hint, reason=f"group-{name}")
    return value


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or len(value) > TEXT_CHARACTERS_MAX or not (value.isprintable() or not value):
        hint = f"At most {TEXT_CHARACTERS_MAX} characters on one line."
        raise Invalid(f"This is no {name} of a group.", hint=hint, reason=f"group-{name}")
    return value.strip()


def _names(name: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or len(value) > NAMES_MAX:
        raise Invalid(f"A group's {name} are a list of names.", hint=f"At most {NAMES_MAX:,}.", reason=f"group-{name}")
    return tuple(dict.fromkeys(_text(name, one) for one in value if one != ""))


def _labels(name: str, value: object) -> tuple[str, ...]:
    return tuple(sorted(label(name, one) for one in _names(name, value)))


def _roles(name: str, value: object) -> tuple[str, ...]:
    found = tuple(sorted(_names(name, value)))
    for one in found:
        if one not in ROLES:
            raise Invalid(f"There is no role '{one[:40]}'.", hint=f"One of: {', '.join(sorted(ROLES))}.", reason="group-roles")
    return found


def _whole(most: int) -> Any:
    def read(name: str, value: object) -> int | None:
        if value is None and name == "server_max":
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise Invalid(f"A group's {NUMBERS[name]} is a whole number.", hint=f"From 1 to {most:,}.", reason=f"group-{name}")
        return value

    return read


NUMBERS: Final = {"tolerance": "number of sign-ins at once", "server_max": "number of sessions on one server"}
READ: Final[Mapping[str, Any]] = {
    "id": label, "name": _text, "hospital": _text, "image": _text, "applications": _names, "tolerance": _whole(TOLERANCE_MAX),
    "server_max": _whole(SERVER_SESSIONS_MAX), "servers": _names, "labels": _labels, "roles": _roles,
}  # fmt: skip
