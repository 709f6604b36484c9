"""What a trust brings along beside the definitions of R4: read, checked, and made into a pack. docs/terminology.md."""

from cloister.records.loading.profiles import worked_out
from cloister.records.loading.reading import Loaded, Rejected, merged, read_path
from cloister.records.loading.tables import Table, read_table
from cloister.records.terminology.capabilities import terminology_statement
from cloister.records.terminology.pack import Pack, open_pack, packed
from cloister.records.terminology.shelf import SUFFIX, library, refresh

__all__ = [
    "SUFFIX",
    "Loaded",
    "Pack",
    "Rejected",
    "Table",
    "merged",
    "open_pack",
    "packed",
    "read_path",
    "read_table",
    "library",
    "refresh",
    "terminology_statement",
    "worked_out",
]
