"""`python3 -m cloister.workstation`, and the one file that scripts/build-card-deb makes."""

import sys

from cloister.workstation.command import main

sys.exit(main())
