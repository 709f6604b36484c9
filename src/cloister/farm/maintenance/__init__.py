"""Maintenance: servers are emptied, worked on and given back; what fails is taken out by itself. docs/power.md."""
