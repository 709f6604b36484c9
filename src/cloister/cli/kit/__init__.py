"""The workstation kit: what 50,000 workstations need to use one trust, as plain files with a signed list. docs/workstations.md."""
