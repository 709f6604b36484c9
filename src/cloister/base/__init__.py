"""The ground floor: errors, ids, clock, settings, wire, database, processes, telemetry. No domain word.

Other rooms import these modules by name (`cloister.base.errors`), because each is small and
stands alone; every other room has a single door.
"""
