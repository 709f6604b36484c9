"""Codes of the generated records: LOINC, UCUM, ICD-10, ATC. Where each comes from: docs/data-sources.md.

Fragments are built once and shared by all resources that use them; nobody changes them afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

LOINC: Final = "http://loinc.org"
UCUM: Final = "http://unitsofmeasure.org"
ICD10: Final = "http://hl7.org/fhir/sid/icd-10"
ATC: Final = "http://www.whocc.no/atc"
HL7: Final = "http://terminology.hl7.org/CodeSystem"
# Identifiants nationaux de santé: the test range of the INS-NIR (ANS, OID registry), never the live one.
INS_TEST: Final = "urn:oid:1.2.250.1.213.1.4.10"
DOCUMENT_TYPE: Final = "https://cloister.example/fhir/CodeSystem/document-type"


def concept(system: str, code: str, display: str, text: str | None = None) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code, "display": display}], "text": text or display}


def hl7(name: str, code: str, display: str | None = None) -> dict[str, Any]:
    return {"coding": [{"system": f"{HL7}/{name}", "code": code, **({"display": display} if display else {})}]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One thing that is measured: its code, unit, and what is normal (None: no such limit)."""

    code: str
    display: str  # LOINC's own words
    text: str  # what French staff call it
    unit: str  # UCUM
    shown: str
    low: float | None = None
    high: float | None = None
    decimals: int = 0


# Vital signs: FHIR R4 vital signs profiles, http://hl7.org/fhir/R4/observation-vitalsigns.html
HEART_RATE: Final = Measure(code="8867-4", display="Heart rate", text="Fréquence cardiaque", unit="/min", shown="/min", low=50, high=100)
BREATHS: Final = Measure(
    code="9279-1", display="Respiratory rate", text="Fréquence respiratoire", unit="/min", shown="/min", low=12, high=20
)
SATURATION: Final = Measure(
    code="2708-6", display="Oxygen saturation in Arterial blood", text="Saturation en oxygène", unit="%", shown="%", low=95, high=100
)
TEMPERATURE: Final = Measure(
    code="8310-5", display="Body temperature", text="Température", unit="Cel", shown="°C", low=36.0, high=38.0, decimals=1
)
WEIGHT: Final = Measure(code="29463-7", display="Body weight", text="Poids", unit="kg", shown="kg", decimals=1)
HEIGHT: Final = Measure(code="8302-2", display="Body height", text="Taille", unit="cm", shown="cm")
BMI: Final = Measure(
    code="39156-5", display="Body mass index (BMI) [Ratio]", text="Indice de masse corporelle", unit="kg/m2", shown="kg/m²", decimals=1
)
PAIN: Final = Measure(
    code="72514-3",
    display="Pain severity - 0-10 verbal numeric rating [Score] - Reported",
    text="Douleur (échelle numérique)",
    unit="{score}",
    shown="/10",
    low=0,
    high=3,
)
PRESSURE: Final = concept(LOINC, "85354-9", "Blood pressure panel with all children optional", "Pression artérielle")
SYSTOLIC: Final = concept(LOINC, "8480-6", "Systolic blood pressure", "Systolique")
DIASTOLIC: Final = concept(LOINC, "8462-4", "Diastolic blood pressure", "Diastolique")


def _lab(
    code: str, display: str, text: str, unit: str, low: float | None, high: float | None, decimals: int = 0, shown: str = ""
) -> Measure:
    return Measure(code=code, display=display, text=text, unit=unit, shown=shown or unit, low=low, high=high, decimals=decimals)


LABS: Final[dict[str, Measure]] = {
    "hb": _lab("718-7", "Hemoglobin [Mass/volume] in Blood", "Hémoglobine", "g/dL", 12.0, 16.0, 1),
    "wbc": _lab("6690-2", "Leukocytes [#/volume] in Blood by Automated count", "Leucocytes", "10*3/uL", 4.0, 10.0, 1, "G/L"),
    "plt": _lab("777-3", "Platelets [#/volume] in Blood by Automated count", "Plaquettes", "10*3/uL", 150, 400, 0, "G/L"),
    "crp": _lab("1988-5", "C reactive protein [Mass/volume] in Serum or Plasma", "CRP", "mg/L", None, 5.0, 1),
    "na": _lab("2951-2", "Sodium [Moles/volume] in Serum or Plasma", "Sodium", "mmol/L", 136, 145),
    "k": _lab("2823-3", "Potassium [Moles/volume] in Serum or Plasma", "Potassium", "mmol/L", 3.5, 5.1, 1),
    "crea": _lab("14682-9", "Creatinine [Moles/volume] in Serum or Plasma", "Créatinine", "umol/L", 45, 104, 0, "µmol/L"),
    "urea": _lab("22664-7", "Urea [Moles/volume] in Serum or Plasma", "Urée", "mmol/L", 2.5, 7.8, 1),
    "glu": _lab("14749-6", "Glucose [Moles/volume] in Serum or Plasma", "Glycémie", "mmol/L", 3.9, 6.1, 1),
    "alt": _lab("1742-6", "Alanine aminotransferase [Enzymatic activity/volume] in Serum or Plasma", "ALAT", "U/L", None, 45),
    "bili": _lab("14631-6", "Bilirubin.total [Moles/volume] in Serum or Plasma", "Bilirubine totale", "umol/L", None, 21, 0, "µmol/L"),
    "bnp": _lab("33762-6", "Natriuretic peptide.B prohormone N-Terminal [Mass/volume] in Serum or Plasma", "NT-proBNP", "pg/mL", None, 300),
    "tnt": _lab(
        "67151-1", "Troponin T.cardiac [Mass/volume] in Serum or Plasma by High sensitivity method", "Troponine T hs", "ng/L", None, 14
    ),
    "a1c": _lab("4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood", "HbA1c", "%", 4.0, 6.0, 1),
    "ldl": _lab("22748-8", "Cholesterol in LDL [Moles/volume] in Serum or Plasma", "LDL-cholestérol", "mmol/L", None, 3.4, 1),
    "tsh": _lab("3016-3", "Thyrotropin [Units/volume] in Serum or Plasma", "TSH", "m[IU]/L", 0.4, 4.0, 2, "mUI/L"),
    "inr": _lab("6301-6", "INR in Platelet poor plasma by Coagulation assay", "INR", "{INR}", 0.8, 1.2, 2, "INR"),
    "li": _lab("14334-7", "Lithium [Moles/volume] in Serum or Plasma", "Lithiémie", "mmol/L", 0.5, 0.8, 2),
}
LAB_REPORT: Final = concept(LOINC, "11502-2", "Laboratory report", "Compte rendu de biologie médicale")

# Kinds of document, LOINC document ontology
NOTE_KINDS: Final[dict[str, dict[str, Any]]] = {
    "admission": concept(LOINC, "34117-2", "History and physical note", "Observation d'entrée"),
    "progress": concept(LOINC, "11506-3", "Progress note", "Note d'évolution"),
    "nurse": concept(LOINC, "34746-8", "Nurse Note", "Transmission infirmière"),
    "discharge": concept(LOINC, "18842-5", "Discharge summary", "Lettre de sortie"),
    "emergency": concept(LOINC, "34111-5", "Emergency department Note", "Note des urgences"),
    "consultation": concept(LOINC, "11488-4", "Consult note", "Compte rendu de consultation"),
    "operation": concept(LOINC, "11504-8", "Surgical operation note", "Compte rendu opératoire"),
    "legal": concept(DOCUMENT_TYPE, "legal-status", "Legal status of care", "Statut légal des soins"),
}

# ICD-10 (WHO, French edition CIM-10): code -> label
DIAGNOSES: Final[dict[str, str]] = {
    "A09.9": "Gastroentérite et colite d'origine non précisée",
    "E03.9": "Hypothyroïdie, sans précision",
    "E11.9": "Diabète sucré de type 2, sans complication",
    "E66.9": "Obésité, sans précision",
    "E78.5": "Hyperlipidémie, sans précision",
    "F00.1": "Démence de la maladie d'Alzheimer, à début tardif",
    "F05.1": "Delirium surajouté à une démence",
    "F10.2": "Syndrome de dépendance à l'alcool",
    "F17.2": "Syndrome de dépendance au tabac",
    "F20.0": "Schizophrénie paranoïde",
    "F31.2": "Trouble affectif bipolaire, épisode maniaque avec symptômes psychotiques",
    "F32.2": "Épisode dépressif sévère sans symptômes psychotiques",
    "F32.3": "Épisode dépressif sévère avec symptômes psychotiques",
    "F41.1": "Anxiété généralisée",
    "F60.3": "Personnalité émotionnellement labile",
    "H40.1": "Glaucome primitif à angle ouvert",
    "I10": "Hypertension essentielle (primitive)",
    "I21.4": "Infarctus sous-endocardique aigu du myocarde",
    "I25.9": "Cardiopathie ischémique chronique, sans précision",
    "I48.9": "Fibrillation et flutter auriculaires, sans précision",
    "I50.1": "Insuffisance ventriculaire gauche",
    "J18.9": "Pneumopathie, sans précision",
    "J44.1": "Maladie pulmonaire obstructive chronique avec épisodes aigus, sans précision",
    "J44.9": "Maladie pulmonaire obstructive chronique, sans précision",
    "J45.9": "Asthme, sans précision",
    "K21.9": "Reflux gastro-œsophagien sans œsophagite",
    "K35.8": "Appendicite aiguë, autres et sans précision",
    "K40.9": "Hernie inguinale unilatérale ou sans précision, sans occlusion ni gangrène",
    "K80.0": "Calcul de la vésicule biliaire avec cholécystite aiguë",
    "L03.1": "Phlegmon d'autres parties d'un membre",
    "M17.9": "Gonarthrose, sans précision",
    "M81.9": "Ostéoporose, sans précision",
    "N10": "Néphrite tubulo-interstitielle aiguë",
    "N18.3": "Maladie rénale chronique, stade 3",
    "N20.1": "Calcul de l'uretère",
    "S06.0": "Commotion",
    "S72.0": "Fracture du col du fémur",
    "S93.4": "Entorse et foulure de la cheville",
}
