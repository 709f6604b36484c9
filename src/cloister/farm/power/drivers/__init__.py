"""Drivers: how a machine is switched. One file a kind; each switches on, switches off, and says what it sees. docs/power.md."""
