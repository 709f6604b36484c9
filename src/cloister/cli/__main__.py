"""`python -m cloister.cli`, the same as `cloister`."""

from cloister.cli.edge import main

main()
