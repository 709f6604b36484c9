"""Fuzzing of every parser of what others wrote: `make fuzz`, or `python -m fuzz TARGET --seconds 60`. See fuzz/README.md."""
