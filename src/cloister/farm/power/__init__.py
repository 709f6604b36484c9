"""Power: which servers of a group run. A pure planner, drivers that switch machines, and the keeper that joins both. docs/power.md."""
