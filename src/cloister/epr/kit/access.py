"""Which roles see clinical screens. What a person may do is decided by the policy; this only spares them dead links."""

from typing import Final

DOCTOR: Final = "doctor"
NURSE: Final = "nurse"
CLINICAL_ROLES: Final = frozenset({DOCTOR, NURSE})
DOCTORS: Final = frozenset({DOCTOR})
