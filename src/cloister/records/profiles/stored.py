"""A StructureDefinition as a pack keeps it: what is checked, and nothing that is only read by people.

Spec: http://hl7.org/fhir/R4/structuredefinition.html, elementdefinition.html. Expressions of invariants are parsed here, when a
profile is loaded, because parsing takes a thousand times as long as evaluating. Constraints of the data types and resources
themselves are left out: base validation has them.
"""

from __future__ import annotations

from typing import Any, Final

import fhirpathpy
from antlr4 import CommonTokenStream, InputStream
from fhirpathpy.parser.generated.FHIRPathLexer import FHIRPathLexer
from fhirpathpy.parser.generated.FHIRPathParser import FHIRPathParser

Json = dict[str, Any]
HEAD: Final = (
    "resourceType",
    "id",
    "url",
    "version",
    "name",
    "title",
    "status",
    "kind",
    "abstract",
    "type",
    "baseDefinition",
    "derivation",
    "context",
)
KEPT: Final = frozenset(
    {"id", "path", "sliceName", "slicing", "min", "max", "type", "contentReference", "maxLength", "constraint", "binding"}
)
STEMS: Final = ("fixed", "pattern", "minValue", "maxValue")
SYSTEM_TYPE: Final = "http://hl7.org/fhirpath/System."
BASE: Final = "http://hl7.org/fhir/StructureDefinition/"
EXPRESSION_CHARACTERS_MAX: Final = 20_000


def slimmed(definition: Json, elements: list[Json], known: frozenset[str]) -> Json:
    """The definition with these elements as its snapshot. `known`: keys of constraints that base validation has."""
    kept: Json = {name: definition[name] for name in HEAD if name in definition}
    kept["snapshot"] = {"element": [_element(one, known) for one in elements]}
    return kept


def _element(element: Json, known: frozenset[str]) -> Json:
    kept = {name: value for name, value in element.items() if name in KEPT or name.startswith(STEMS)}
    if "type" in kept:
        kept["type"] = [_type(one) for one in kept["type"]]
    if "binding" in kept:
        binding = kept.pop("binding")
        if "valueSet" in binding:
            kept["binding"] = {"strength": binding.get("strength", ""), "valueSet": binding["valueSet"]}
    constraints = [_constraint(one) for one in kept.pop("constraint", ()) if one.get("key") not in known and one.get("expression")]
    if constraints:
        kept["constraint"] = constraints
    return kept


def _type(one: Json) -> Json:
    code = str(one.get("code", ""))
    kept = {"code": code.removeprefix(SYSTEM_TYPE).lower() if code.startswith(SYSTEM_TYPE) else code}
    return kept | {name: one[name] for name in ("profile", "targetProfile") if name in one}


def _constraint(one: Json) -> Json:
    """`parsed` is the syntax tree; None for an expression that cannot be read, which is then told at the check."""
    kept: Json = {name: one[name] for name in ("key", "severity", "human", "expression") if name in one}
    if "parsed" in one:
        return kept | {"parsed": one["parsed"]}
    expression = str(one["expression"])
    try:
        kept["parsed"] = fhirpathpy.parse(expression) if readable(expression) else None
    except Exception:  # edge: the library raises many kinds, and its grammar's own
        kept["parsed"] = None
    return kept


def readable(expression: str) -> bool:
    """Whether the whole text follows the grammar; the library would take the part that does for the whole."""
    if len(expression) > EXPRESSION_CHARACTERS_MAX:
        return False
    lexer = FHIRPathLexer(InputStream(expression))
    lexer.removeErrorListeners()
    lexer.recover = _stop
    parser = FHIRPathParser(CommonTokenStream(lexer))
    parser.removeErrorListeners()
    parser.entireExpression()
    return bool(parser.getNumberOfSyntaxErrors() == 0)


def _stop(fault: Exception) -> None:
    raise fault


def constraint_keys(definitions: list[Json]) -> frozenset[str]:
    """The keys of the constraints of data types and resources."""
    return frozenset(
        str(one.get("key"))
        for definition in definitions
        for element in definition.get("snapshot", {}).get("element", ())
        for one in element.get("constraint", ())
    )


def base_definition(definition: Json) -> Json:
    """A data type or resource type of R4, of which the shape is kept and constraints by their keys."""
    kept = slimmed(definition, definition["snapshot"]["element"], frozenset())
    for slim, whole in zip(kept["snapshot"]["element"], definition["snapshot"]["element"], strict=True):
        slim.pop("constraint", None)
        if "constraint" in whole:
            slim["constraint"] = [{"key": one["key"]} for one in whole["constraint"]]
    return kept
