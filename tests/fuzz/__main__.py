"""`python -m tests.fuzz`. What its processes run is in a module that they can import by name."""

from __future__ import annotations

import sys

from tests.fuzz.campaign import main

if __name__ == "__main__":
    sys.exit(main())
