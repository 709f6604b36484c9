"""Validation by profiles: StructureDefinitions compiled to a tree of rules, checked where meta.profile names them. docs/profiles.md."""
