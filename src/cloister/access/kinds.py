"""The kinds of thing a decision can be about: FHIR R4 resource types (hl7.org/fhir/R4/resourcelist.html) in four groups, pages, the estate.

A type that is in no group is refused: a new type must be put somewhere on purpose.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Group(StrEnum):
    CLINICAL = "clinical"  # about a patient
    REGISTER = "register"  # about the hospital: people, places, stock
    DEFINITION = "definition"  # about forms, terms and rules
    AUDIT = "audit"  # about who did what


class Page(StrEnum):
    """Screens, by what they show."""

    START = "start"
    CHART = "chart"
    ACCOUNT = "account"
    CONSOLE = "console"
    NETWORK = "network"  # one's own certificate for the VPN, and one's own tunnels
    ASKING = "asking"  # clinicians ask for a zone
    CERTIFYING = "certifying"  # certificate officers
    GRANTING = "granting"  # access officers
    PRIVACY = "privacy"  # privacy officers
    REFUSALS = "refusals"  # access officers and operators: what policy refused lately
    RECOVERY = "recovery"  # the three parties of a recovery: IT, medical, management


def _kinds(names: str) -> frozenset[str]:
    return frozenset(names.split())


CLINICAL: Final = _kinds(
    """
    Account AdverseEvent AllergyIntolerance Appointment AppointmentResponse Basic Binary BiologicallyDerivedProduct BodyStructure Bundle
    CarePlan CareTeam ChargeItem Claim ClaimResponse ClinicalImpression Communication CommunicationRequest Composition Condition Consent
    Contract Coverage CoverageEligibilityRequest CoverageEligibilityResponse DetectedIssue DeviceRequest DeviceUseStatement DiagnosticReport
    DocumentManifest DocumentReference Encounter EnrollmentRequest EnrollmentResponse EpisodeOfCare ExplanationOfBenefit FamilyMemberHistory
    Flag Goal Group GuidanceResponse ImagingStudy Immunization ImmunizationEvaluation ImmunizationRecommendation Invoice Linkage List
    MeasureReport Media MedicationAdministration MedicationDispense MedicationRequest MedicationStatement MessageHeader MolecularSequence
    NutritionOrder Observation OperationOutcome Parameters Patient PaymentNotice PaymentReconciliation Person Procedure Provenance
    QuestionnaireResponse RelatedPerson RequestGroup ResearchSubject RiskAssessment ServiceRequest Specimen SupplyDelivery SupplyRequest
    Task VerificationResult VisionPrescription
    """
)
REGISTER: Final = _kinds(
    """
    Device DeviceMetric Endpoint HealthcareService InsurancePlan Location Medication Organization OrganizationAffiliation Practitioner
    PractitionerRole ResearchStudy Schedule Slot Subscription Substance
    """
)
DEFINITION: Final = _kinds(
    """
    ActivityDefinition CapabilityStatement CatalogEntry ChargeItemDefinition CodeSystem CompartmentDefinition ConceptMap DeviceDefinition
    EffectEvidenceSynthesis EventDefinition Evidence EvidenceVariable ExampleScenario GraphDefinition ImplementationGuide Library Measure
    MedicationKnowledge MedicinalProduct MedicinalProductAuthorization MedicinalProductContraindication MedicinalProductIndication
    MedicinalProductIngredient MedicinalProductInteraction MedicinalProductManufactured MedicinalProductPackaged
    MedicinalProductPharmaceutical MedicinalProductUndesirableEffect MessageDefinition NamingSystem ObservationDefinition
    OperationDefinition PlanDefinition Questionnaire ResearchDefinition ResearchElementDefinition RiskEvidenceSynthesis SearchParameter
    SpecimenDefinition StructureDefinition StructureMap SubstanceNucleicAcid SubstancePolymer SubstanceProtein SubstanceReferenceInformation
    SubstanceSourceMaterial SubstanceSpecification TerminologyCapabilities TestReport TestScript ValueSet
    """
)
AUDIT: Final = frozenset({"AuditEvent"})

GROUPS: Final = {
    Group.CLINICAL: CLINICAL,
    Group.REGISTER: REGISTER,
    Group.DEFINITION: DEFINITION,
    Group.AUDIT: AUDIT,
}
# What nurses write: observations, notes, allergies and what was given; not diagnoses, not prescriptions.
NURSING: Final = frozenset({"AllergyIntolerance", "Composition", "DocumentReference", "MedicationAdministration", "Observation"})
RESOURCE_TYPES: Final = CLINICAL | REGISTER | DEFINITION | AUDIT
