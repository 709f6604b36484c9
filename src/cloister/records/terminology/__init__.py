"""Terminology over loaded code systems: names, membership, expansion, subsumption, translation. docs/terminology.md."""
