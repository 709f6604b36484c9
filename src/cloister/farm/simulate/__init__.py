"""A day of the trust on a virtual clock: made-up people, the real decisions. `make sim`; what it shows: docs/power.md."""
