"""Invariants of FHIR R4 by data type and element: what holds between elements. One line each, with HL7's own key.

Spec: the "Constraints" of each page, e.g. http://hl7.org/fhir/R4/observation.html#invs. Chosen are those of data types
and of clinical and administrative resources; those of definitions (StructureDefinition, TestScript and the like) are not checked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from cloister.records.profiles import applying
from cloister.records.search.fold import span
from cloister.records.validation import ins
from cloister.records.validation.issues import Fault

Node = dict[str, Any]
UCUM: Final = "http://unitsofmeasure.org"
TERMS: Final = "http://terminology.hl7.org/CodeSystem/"


@dataclass(frozen=True, slots=True)
class Invariant:
    """`faults` says what is wrong where one sentence would not do; it is asked only where the rule does not hold."""

    key: str
    text: str  # what must hold
    holds: Callable[[Node], bool]
    faults: Callable[[Node], list[Fault]] | None = None


def _has(node: Node, stem: str) -> bool:
    """True if a choice element such as value[x] is present."""
    size = len(stem)
    return any(name.startswith(stem) and len(name) > size and name[size].isupper() for name in node)


def _coded(concept: Node | None, system: str, codes: tuple[str, ...]) -> bool:
    return any(one.get("system") == system and one.get("code") in codes for one in (concept or {}).get("coding", ()))


def _period_forward(node: Node) -> bool:
    start, end = node.get("start"), node.get("end")
    if start is None or end is None or start == end:
        return True
    if len(start) == len(end) and start[19:] == end[19:]:  # the same precision and zone: text order is time order
        return bool(start <= end)
    try:
        return span(start)[0] < span(end)[1]
    except ValueError:
        return True  # reported as a date that does not exist


def _range_forward(node: Node) -> bool:
    low, high = node.get("low", {}), node.get("high", {})
    if "value" not in low or "value" not in high or low.get("code", low.get("unit")) != high.get("code", high.get("unit")):
        return True  # other units are not compared
    return bool(low["value"] <= high["value"])


def _unit_of(system: str) -> Callable[[Node], bool]:
    return lambda n: ("code" in n or "value" not in n) and n.get("system", system) == system


def _ratio_whole(node: Node) -> bool:
    return ("numerator" in node) == ("denominator" in node) and ("numerator" in node or "extension" in node)


def _needs(name: str, other: str) -> Callable[[Node], bool]:
    return lambda n: name not in n or other in n


def _either(*names: str) -> Callable[[Node], bool]:
    return lambda n: any(name in n for name in names)


def _not_both(name: str, other: str) -> Callable[[Node], bool]:
    return lambda n: name not in n or other not in n


def _allergy_in_error(node: Node) -> bool:
    return _coded(node.get("verificationStatus"), f"{TERMS}allergyintolerance-verification", ("entered-in-error",))


def _condition_in_error(node: Node) -> bool:
    return _coded(node.get("verificationStatus"), f"{TERMS}condition-ver-status", ("entered-in-error",))


def _abated_inactive(node: Node) -> bool:
    ended = ("resolved", "remission", "inactive")
    return not _has(node, "abatement") or _coded(node.get("clinicalStatus"), f"{TERMS}condition-clinical", ended)


def _own_value_once(node: Node) -> bool:
    if "component" not in node or not _has(node, "value"):
        return True
    own = {(one.get("system"), one.get("code")) for one in node.get("code", {}).get("coding", ())}
    return not any(
        (one.get("system"), one.get("code")) in own for part in node["component"] for one in part.get("code", {}).get("coding", ())
    )


def _not_at_home(node: Node) -> bool:
    return all(one.get("use") != "home" for name in ("telecom", "address") for one in node.get(name, ()))


def _sampled(node: Node) -> bool:
    return bool(node.get("duration", 0) >= 0 and node.get("period", 0) >= 0)


def _offset_with_when(node: Node) -> bool:
    return "offset" not in node or ("when" in node and not set(node["when"]) & {"C", "CM", "CD", "CV"})


def _one_of_parameter(node: Node) -> bool:
    return sum((_has(node, "value"), "resource" in node, "part" in node)) == 1


def _claims_hold(node: Node) -> bool:
    """Of every resource that is written: what claims no profile is not looked at further."""
    meta = node.get("meta")
    return meta is None or "profile" not in meta or applying.lawful(node)


# Of every resource type, beside what stands below: the profiles that a resource claims (docs/profiles.md).
CLAIMS: Final = Invariant("profile", "A resource meets the profiles that it claims.", _claims_hold, lambda node: applying.faults(node))

INVARIANTS: Final[dict[str, tuple[Invariant, ...]]] = {
    "Extension": (
        Invariant("ext-1", "An extension has either a value or extensions, not both.", lambda n: ("extension" in n) != _has(n, "value")),
    ),
    "Period": (Invariant("per-1", "A period's start is not after its end.", _period_forward),),
    "ContactPoint": (Invariant("cpt-2", "A contact point with a value has a system.", _needs("value", "system")),),
    "Attachment": (Invariant("att-1", "An attachment with data has a content type.", _needs("data", "contentType")),),
    "Quantity": (Invariant("qty-3", "A quantity with a unit's code has the code's system.", _needs("code", "system")),),
    "Age": (Invariant("age-1", "An age with a value has a UCUM code.", _unit_of(UCUM)),),
    "Distance": (Invariant("dis-1", "A distance with a value has a UCUM code.", _unit_of(UCUM)),),
    "Duration": (
        Invariant(
            "drt-1",
            "A duration with a code has a value and UCUM.",
            lambda n: "code" not in n or (n.get("system") == UCUM and "value" in n),
        ),
    ),
    "Range": (Invariant("rng-2", "A range's low is not above its high.", _range_forward),),
    "Ratio": (Invariant("rat-1", "A ratio has numerator and denominator.", _ratio_whole),),
    "Expression": (Invariant("exp-1", "An expression has an expression or a reference.", _either("expression", "reference")),),
    "Timing.repeat": (
        Invariant("tim-1", "A duration has units.", _needs("duration", "durationUnit")),
        Invariant("tim-2", "A period has units.", _needs("period", "periodUnit")),
        Invariant("tim-4", "Duration and period are not negative.", _sampled),
        Invariant("tim-6", "A periodMax has a period.", _needs("periodMax", "period")),
        Invariant("tim-7", "A durationMax has a duration.", _needs("durationMax", "duration")),
        Invariant("tim-8", "A countMax has a count.", _needs("countMax", "count")),
        Invariant("tim-9", "An offset has a when (and not C, CM, CD, CV).", _offset_with_when),
        Invariant("tim-10", "There is a timeOfDay or a when, not both.", _not_both("timeOfDay", "when")),
    ),
    "AllergyIntolerance": (
        Invariant(
            "ait-1",
            "There is a clinicalStatus unless it was entered in error.",
            lambda n: "clinicalStatus" in n or _allergy_in_error(n),
        ),
        Invariant(
            "ait-2",
            "What was entered in error has no clinicalStatus.",
            lambda n: "clinicalStatus" not in n or not _allergy_in_error(n),
        ),
    ),
    "Appointment": (
        Invariant("app-2", "There are start and end, or neither.", lambda n: ("start" in n) == ("end" in n)),
        Invariant(
            "app-3",
            "Only a proposed, cancelled or waitlisted appointment may lack start and end.",
            lambda n: "start" in n or n.get("status") in ("proposed", "cancelled", "waitlist"),
        ),
        Invariant(
            "app-4",
            "A cancelation reason is for a cancelled appointment or a no-show.",
            lambda n: "cancelationReason" not in n or n.get("status") in ("noshow", "cancelled"),
        ),
    ),
    "Appointment.participant": (Invariant("app-1", "A participant has a type or an actor.", _either("type", "actor")),),
    "AppointmentResponse": (Invariant("apr-1", "There is a participantType or an actor.", _either("participantType", "actor")),),
    "CarePlan.activity": (Invariant("cpl-3", "An activity has a reference or a detail, not both.", _not_both("detail", "reference")),),
    "Composition.section": (
        Invariant("cmp-1", "A section has text, entries or sections.", _either("text", "entry", "section")),
        Invariant("cmp-2", "Only an empty section has an emptyReason.", _not_both("emptyReason", "entry")),
    ),
    "Condition": (
        Invariant("con-4", "An abated condition is inactive, resolved or in remission.", _abated_inactive),
        Invariant(
            "con-5",
            "What was entered in error has no clinicalStatus.",
            lambda n: "clinicalStatus" not in n or not _condition_in_error(n),
        ),
    ),
    "Condition.stage": (Invariant("con-1", "A stage has a summary or an assessment.", _either("summary", "assessment")),),
    "Condition.evidence": (Invariant("con-2", "Evidence has a code or details.", _either("code", "detail")),),
    "Consent": (Invariant("ppc-1", "A consent has a policy or a policyRule.", _either("policy", "policyRule")),),
    "FamilyMemberHistory": (
        Invariant("fhs-1", "There is an age or a birth, not both.", lambda n: not (_has(n, "age") and _has(n, "born"))),
        Invariant("fhs-2", "An estimated age has an age.", lambda n: "estimatedAge" not in n or _has(n, "age")),
    ),
    "Goal.target": (Invariant("gol-1", "A target with a detail has a measure.", lambda n: not _has(n, "detail") or "measure" in n),),
    "Immunization.education": (Invariant("imm-1", "Education has a document type or a reference.", _either("documentType", "reference")),),
    "List": (
        Invariant("lst-1", "Only an empty list has an emptyReason.", _not_both("emptyReason", "entry")),
        Invariant(
            "lst-2",
            "Only a list of changes has deleted entries.",
            lambda n: n.get("mode") == "changes" or not any("deleted" in one for one in n.get("entry", ())),
        ),
    ),
    "Observation": (
        Invariant(
            "obs-6",
            "A reason for absent data stands only where there is no value.",
            lambda n: "dataAbsentReason" not in n or not _has(n, "value"),
        ),
        Invariant("obs-7", "An observation with a value has no component of the same code.", _own_value_once),
    ),
    "Observation.referenceRange": (Invariant("obs-3", "A reference range has a low, a high or a text.", _either("low", "high", "text")),),
    "Organization": (
        Invariant("org-1", "An organization has a name or an identifier.", _either("identifier", "name")),
        Invariant("org-3", "An organization's contacts and addresses are not of use 'home'.", _not_at_home),
    ),
    "Parameters.parameter": (Invariant("inv-1", "A parameter has one of value, resource and part.", _one_of_parameter),),
    "Patient": (Invariant("ins", "A national health identifier has a qualified identity.", ins.lawful, ins.faults),),
    "Patient.contact": (
        Invariant(
            "pat-1",
            "A contact has a name, telecom, address or organization.",
            _either("name", "telecom", "address", "organization"),
        ),
    ),
    "Questionnaire.item": (
        Invariant("que-1", "A group has items, a display has none.", lambda n: n.get("type") != ("display" if "item" in n else "group")),
        Invariant("que-3", "A display has no code.", lambda n: n.get("type") != "display" or "code" not in n),
        Invariant("que-4", "There are answer options or a value set, not both.", _not_both("answerOption", "answerValueSet")),
    ),
    "QuestionnaireResponse.item": (
        Invariant("qrs-1", "Items stand under the item or under its answer, not both.", _not_both("answer", "item")),
    ),
    "RequestGroup.action": (
        Invariant("rqg-1", "An action has a resource or actions, not both.", lambda n: ("resource" in n) != ("action" in n)),
    ),
    "ServiceRequest": (Invariant("prr-1", "Order details need a code.", _needs("orderDetail", "code")),),
}
