"""The modules of the record, one line each, in the order in which their cards and tabs appear."""

from typing import Final

from cloister.epr.kit.module import Module
from cloister.epr.modules.access import ACCESS
from cloister.epr.modules.allergies import ALLERGIES
from cloister.epr.modules.chart import CHART
from cloister.epr.modules.medication import MEDICATION
from cloister.epr.modules.messages import MESSAGES
from cloister.epr.modules.notes import NOTES
from cloister.epr.modules.patients import PATIENTS
from cloister.epr.modules.problems import PROBLEMS
from cloister.epr.modules.results import RESULTS
from cloister.epr.modules.stays import STAYS
from cloister.epr.modules.vitals import VITALS
from cloister.epr.modules.worklist import WORKLIST

MODULES: Final[tuple[Module, ...]] = (
    WORKLIST,
    PATIENTS,
    CHART,
    PROBLEMS,
    ALLERGIES,
    MEDICATION,
    VITALS,
    RESULTS,
    STAYS,
    NOTES,
    ACCESS,
    MESSAGES,
)
