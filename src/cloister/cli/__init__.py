"""The command line: one file per noun. It runs the trust, brings records in, and looks from the administrator's side.

Decides nothing about who may see what: records go in over HTTPS as a program, and what an administrator looks at is
what the database holds.
"""

from typing import NoReturn


def main() -> NoReturn:
    """`cloister`: what is typed decides which modules are loaded."""
    from cloister.cli.edge import main as run

    run()


__all__ = ["main"]
