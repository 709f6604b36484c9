"""The closed list of reasons for which the policy refuses, each with a sentence for people and a next step."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Reason(StrEnum):
    """Ids of forbidding policies are of this list; the first four and the last need no policy."""

    NOT_PERMITTED = "not-permitted"
    ROLE_UNKNOWN = "role-unknown"
    ACTION_UNKNOWN = "action-unknown"
    KIND_UNKNOWN = "kind-unknown"
    ROLE_NOT_CLINICAL = "role-not-clinical"
    WRITE_BY_DOCTORS = "write-by-doctors"
    REGISTER_READ_ONLY = "register-read-only"
    AUDIT_READ_ONLY = "audit-read-only"
    PURPOSE_NOT_TREATMENT = "purpose-not-treatment"
    OPERATORS_ONLY = "operators-only"
    OTHER_OFFICE = "other-office"
    PROGRAM_WITHOUT_PAGES = "program-without-pages"
    SCOPE_MISSING = "scope-missing"

    def sentence(self, language: str) -> tuple[str, str]:
        """The sentence and the hint, in this language or in English."""
        words = SENTENCES[self]
        return words.get(language[:2], words["en"])


# (sentence, hint) by language; languages missing here read English.
SENTENCES: Final[dict[Reason, dict[str, tuple[str, str]]]] = {
    Reason.NOT_PERMITTED: {
        "en": ("No rule permits you to do this.", "Ask the access officer of your hospital which role you need."),
        "fr": ("Aucune règle ne vous permet de faire cela.", "Demandez au responsable des accès de votre hôpital quel rôle il vous faut."),
    },
    Reason.ROLE_UNKNOWN: {
        "en": ("Your role is not one that this trust knows.", "Ask the access officer of your hospital."),
        "fr": ("Votre rôle n'est pas connu de ce groupement.", "Adressez-vous au responsable des accès de votre hôpital."),
    },
    Reason.ACTION_UNKNOWN: {
        "en": ("This action is not one that the policy knows.", "Report this to whoever runs the system."),
        "fr": ("Cette action n'est pas connue de la politique d'accès.", "Signalez-le à l'exploitant du système."),
    },
    Reason.KIND_UNKNOWN: {
        "en": ("The policy has no rule for this kind of resource.", "Use a resource type of FHIR R4."),
        "fr": ("La politique d'accès n'a pas de règle pour ce type de ressource.", "Utilisez un type de ressource FHIR R4."),
    },
    Reason.ROLE_NOT_CLINICAL: {
        "en": ("Your role does not open patients' records.", "Doctors and nurses of the patient's zone can."),
        "fr": ("Votre rôle n'ouvre pas les dossiers des patients.", "Les médecins et infirmiers de la zone du patient le peuvent."),
    },
    Reason.WRITE_BY_DOCTORS: {
        "en": ("Nurses read this, and doctors write it.", "Ask a doctor of the ward, or write a note."),
        "fr": ("Les infirmiers le lisent, les médecins l'écrivent.", "Demandez à un médecin du service, ou rédigez une note."),
    },
    Reason.REGISTER_READ_ONLY: {
        "en": ("The hospital's register and definitions are not changed from here.", "They come from the hospital's own programs."),
        "fr": ("Le répertoire et les définitions de l'hôpital ne se modifient pas ici.", "Ils viennent des programmes de l'hôpital."),
    },
    Reason.AUDIT_READ_ONLY: {
        "en": ("Nobody writes audit events by hand.", "The system writes them before each answer."),
        "fr": ("Personne n'écrit la trace d'audit à la main.", "Le système l'écrit avant chaque réponse."),
    },
    Reason.PURPOSE_NOT_TREATMENT: {
        "en": ("You may open records for treatment only.", "Open the record for treatment, or not at all."),
        "fr": ("Vous n'ouvrez les dossiers que pour soigner.", "Ouvrez le dossier pour soigner, ou ne l'ouvrez pas."),
    },
    Reason.OPERATORS_ONLY: {
        "en": ("Only an IT operator looks at what the database holds.", "Ask the IT operator to show it to you."),
        "fr": ("Seul un exploitant informatique regarde ce que contient la base.", "Demandez-lui de vous le montrer."),
    },
    Reason.OTHER_OFFICE: {
        "en": ("This page belongs to an office that you do not hold.", "Ask the officer whose page it is."),
        "fr": ("Cette page appartient à une fonction que vous n'exercez pas.", "Adressez-vous au responsable dont c'est la page."),
    },
    Reason.PROGRAM_WITHOUT_PAGES: {
        "en": ("Programs have no screens.", "Use the FHIR address, /fhir/R4."),
        "fr": ("Les programmes n'ont pas d'écrans.", "Utilisez l'adresse FHIR, /fhir/R4."),
    },
    Reason.SCOPE_MISSING: {
        "en": ("The scopes of this token do not permit this.", "Ask for a token with the scope that it needs, such as system/Patient.rs."),
        "fr": (
            "Les portées de ce jeton ne le permettent pas.",
            "Demandez un jeton avec la portée nécessaire (system/Patient.rs).",
        ),
    },
}
