"""Benchmarks: what must hold, measured on this machine, side by side with a plaintext store where a ratio is promised.

`make bench` runs all groups, `make bench ONLY=hospital` one. Each prints a table and writes benchmarks/results/GROUP-*.json.
"""
