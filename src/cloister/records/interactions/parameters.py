"""What is sent to an operation: in the address, or as a Parameters resource. http://hl7.org/fhir/R4/operations.html#executing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from cloister.base.errors import Invalid, Unsupported
from cloister.records.definitions import is_type
from cloister.records.fhir.exchange import FORMAT, Exchange
from cloister.records.fhir.formats import media_type
from cloister.records.search.fold import asked_span

COUNT_MAX: Final = 1000


@dataclass(frozen=True, slots=True)
class Sent:
    """The parameters by name, each with its place for error texts; the resources among them; and codings, where they are asked for."""

    values: list[tuple[str, str]]
    resources: dict[str, dict[str, Any]]
    codings: dict[str, dict[str, Any]] = field(default_factory=dict)  # a Coding or a CodeableConcept

    def of(self, *known: str) -> dict[str, list[str]]:
        """The values by name; raises Unsupported for a name that is not among the known ones."""
        found: dict[str, list[str]] = {}
        for name, text in self.values:
            if name not in known:
                raise Unsupported(
                    f"The parameter '{name[:64]}' is not offered here.", hint=f"Known are {', '.join(known)}.", expression=name[:64]
                )
            found.setdefault(name, []).append(text)
        return found


CODINGS: Final = ("valueCoding", "valueCodeableConcept")


async def sent(exchange: Exchange, *, codings: bool = False) -> Sent:
    """Of the address, and for POST of the body: a Parameters resource, or the one resource that the operation is about.

    `codings`: whether this operation reads parameters that are a Coding or a CodeableConcept; elsewhere they are refused.
    """
    values = [pair for pair in exchange.pairs() if pair[0] not in FORMAT]
    if exchange.request.method != "POST":
        return Sent(values, {})
    if not media_type(exchange.request) and exchange.request.headers.get("content-length", "0") == "0":
        return Sent(values, {})
    body = await exchange.resource()
    if body.get("resourceType") != "Parameters":
        return Sent(values, {"resource": body})
    resources: dict[str, dict[str, Any]] = {}
    coded: dict[str, dict[str, Any]] = {}
    parts = body.get("parameter", [])
    for number, part in enumerate(parts if isinstance(parts, list) else [parts]):
        place = f"Parameters.parameter[{number}]"
        name = part.get("name") if isinstance(part, dict) else None
        if not isinstance(name, str):
            raise Invalid("A parameter has no name.", hint="Give it a name and a value.", expression=place)
        value = next((one for key, one in part.items() if key.startswith("value")), None)
        if isinstance(part.get("resource"), dict):
            resources[name] = part["resource"]
        elif codings and isinstance(value, dict) and any(kind in part for kind in CODINGS):
            coded[name] = value
        elif isinstance(value, str | int | float | bool):
            values.append((name, str(value).lower() if isinstance(value, bool) else str(value)))
        else:
            raise Invalid(
                f"The parameter '{name[:64]}' has no value that is read here.",
                hint="Give it a simple value or a resource.",
                expression=place,
            )
    return Sent(values, resources, coded)


# --- reading values -----------------------------------------------------------------------------------------------


def single(found: dict[str, list[str]], name: str) -> str | None:
    several = found.get(name, [])
    if len(several) > 1:
        raise Invalid(f"'{name}' is given more than once.", hint="Send it once.", expression=name)
    return several[0] if several else None


def whole(found: dict[str, list[str]], name: str, default: int, most: int) -> int:
    text = single(found, name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) < 1:
        raise Invalid(f"'{name}' takes a whole number from 1.", hint=f"Write {name}=10.", expression=name)
    return min(int(text), most)


def moment(found: dict[str, list[str]], name: str) -> tuple[int, int] | None:
    """The span that a date or instant means, microseconds since 1970."""
    text = single(found, name)
    if text is None:
        return None
    try:
        return asked_span(text)
    except Invalid as wrong:
        raise Invalid(f"The parameter '{name}': {wrong.text}", hint=wrong.hint, expression=name) from None


def types(found: dict[str, list[str]], name: str = "_type") -> frozenset[str] | None:
    if name not in found:
        return None
    chosen = [piece.strip() for text in found[name] for piece in text.split(",") if piece.strip()]
    unknown = next((one for one in chosen if not is_type(one)), None)
    if unknown is not None or not chosen:
        raise Invalid(f"'{name}' names what is no resource type of FHIR R4.", hint=f"Write {name}=Observation,Condition.", expression=name)
    return frozenset(chosen)
