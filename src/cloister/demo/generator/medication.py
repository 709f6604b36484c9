"""Medication of the generated records: ATC code, name, usual adult dose and route. A demonstration, never advice.

ATC: WHO Collaborating Centre for Drug Statistics Methodology (docs/data-sources.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Drug:
    atc: str
    name: str
    dose: float
    unit: str  # UCUM
    times: int  # a day; 0 = when needed
    route: str
    lasting: bool  # goes on after the stay


DRUGS: Final[dict[str, Drug]] = {
    drug.atc: drug
    for drug in (
        Drug("A02BC02", "pantoprazole", 40, "mg", 1, "voie orale", True),
        Drug("A10AE04", "insuline glargine", 16, "[iU]", 1, "voie sous-cutanée", True),
        Drug("A10BA02", "metformine", 1000, "mg", 2, "voie orale", True),
        Drug("A10BK03", "empagliflozine", 10, "mg", 1, "voie orale", True),
        Drug("A11CC05", "colécalciférol", 800, "[iU]", 1, "voie orale", True),
        Drug("A11DA01", "thiamine", 250, "mg", 2, "voie orale", False),
        Drug("B01AB05", "énoxaparine", 4000, "[iU]", 1, "voie sous-cutanée", False),
        Drug("B01AC04", "clopidogrel", 75, "mg", 1, "voie orale", True),
        Drug("B01AC06", "acide acétylsalicylique", 75, "mg", 1, "voie orale", True),
        Drug("B01AF02", "apixaban", 5, "mg", 2, "voie orale", True),
        Drug("C03CA01", "furosémide", 40, "mg", 2, "voie orale", True),
        Drug("C03DA01", "spironolactone", 25, "mg", 1, "voie orale", True),
        Drug("C07AB07", "bisoprolol", 2.5, "mg", 1, "voie orale", True),
        Drug("C08CA01", "amlodipine", 5, "mg", 1, "voie orale", True),
        Drug("C09AA05", "ramipril", 5, "mg", 1, "voie orale", True),
        Drug("C10AA05", "atorvastatine", 40, "mg", 1, "voie orale", True),
        Drug("H02AB06", "prednisolone", 40, "mg", 1, "voie orale", False),
        Drug("H03AA01", "lévothyroxine sodique", 75, "ug", 1, "voie orale", True),
        Drug("J01CR02", "amoxicilline et acide clavulanique", 1, "g", 3, "voie orale", False),
        Drug("J01DD04", "ceftriaxone", 1, "g", 1, "voie intraveineuse", False),
        Drug("M01AE03", "kétoprofène", 100, "mg", 2, "voie intraveineuse", False),
        Drug("M05BA04", "acide alendronique", 70, "mg", 0, "voie orale", True),
        Drug("N02AA01", "morphine", 5, "mg", 0, "voie orale", False),
        Drug("N02AX02", "tramadol", 50, "mg", 0, "voie orale", False),
        Drug("N02BE01", "paracétamol", 1, "g", 4, "voie orale", False),
        Drug("N03AG01", "acide valproïque", 500, "mg", 2, "voie orale", True),
        Drug("N05AA06", "cyamémazine", 25, "mg", 0, "voie orale", False),
        Drug("N05AH01", "loxapine", 50, "mg", 2, "voie orale", False),
        Drug("N05AH03", "olanzapine", 10, "mg", 1, "voie orale", True),
        Drug("N05AN01", "lithium", 400, "mg", 2, "voie orale", True),
        Drug("N05AX08", "rispéridone", 2, "mg", 2, "voie orale", True),
        Drug("N05AX12", "aripiprazole", 15, "mg", 1, "voie orale", True),
        Drug("N05BA04", "oxazépam", 10, "mg", 3, "voie orale", False),
        Drug("N05BA06", "lorazépam", 1, "mg", 0, "voie orale", False),
        Drug("N05CF01", "zopiclone", 7.5, "mg", 1, "voie orale", False),
        Drug("N06AB06", "sertraline", 50, "mg", 1, "voie orale", True),
        Drug("N06AX11", "mirtazapine", 15, "mg", 1, "voie orale", True),
        Drug("N06AX16", "venlafaxine", 75, "mg", 1, "voie orale", True),
        Drug("N06DA02", "donépézil", 5, "mg", 1, "voie orale", True),
        Drug("R03AC02", "salbutamol", 100, "ug", 0, "voie inhalée", True),
        Drug("R03BB04", "tiotropium", 18, "ug", 1, "voie inhalée", True),
        Drug("S01EE01", "latanoprost", 1, "[drp]", 1, "voie ophtalmique", True),
    )
}
# What goes with a long-standing problem.
LASTING: Final[dict[str, tuple[str, ...]]] = {
    "I10": ("C09AA05", "C08CA01"),
    "E11.9": ("A10BA02",),
    "E78.5": ("C10AA05",),
    "I48.9": ("B01AF02", "C07AB07"),
    "I25.9": ("B01AC06", "C07AB07", "C10AA05"),
    "J44.9": ("R03BB04", "R03AC02"),
    "J45.9": ("R03AC02",),
    "E03.9": ("H03AA01",),
    "K21.9": ("A02BC02",),
    "M81.9": ("M05BA04", "A11CC05"),
    "H40.1": ("S01EE01",),
    "F41.1": ("N06AB06",),
}
# Substances that people are allergic to: (text, ATC group or None, category, usual reaction)
ALLERGENS: Final[tuple[tuple[str, str | None, str, str], ...]] = (
    ("Pénicillines", "J01C", "medication", "Urticaire généralisée"),
    ("Amoxicilline", "J01CA04", "medication", "Éruption maculopapuleuse"),
    ("Céphalosporines de troisième génération", "J01DD", "medication", "Œdème de Quincke"),
    ("Acide acétylsalicylique", "B01AC06", "medication", "Bronchospasme"),
    ("Kétoprofène", "M01AE03", "medication", "Photosensibilisation"),
    ("Produits de contraste iodés", "V08A", "medication", "Malaise et érythème"),
    ("Morphine", "N02AA01", "medication", "Prurit"),
    ("Latex", None, "environment", "Dermatite de contact"),
    ("Arachide", None, "food", "Choc anaphylactique"),
    ("Crustacés", None, "food", "Œdème des lèvres"),
    ("Pollens de graminées", None, "environment", "Rhinite"),
    ("Venin d'hyménoptères", None, "environment", "Réaction locale étendue"),
)
