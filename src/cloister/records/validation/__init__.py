"""Validation: the official JSON schema, then what that schema cannot say. Spec: http://hl7.org/fhir/R4/validation.html."""

from cloister.records.validation.check import check, issues_of, warm
from cloister.records.validation.issues import InvalidResource, Issue

__all__ = ["InvalidResource", "Issue", "check", "issues_of", "warm"]
