"""Cloister: a self-hosted secure hospital workspace whose records only their sessions can read."""

__version__ = "0.1.0"
