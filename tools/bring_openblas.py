"""Makes the OpenBLAS that pip brought usable for MLX, below this Python's own folder. `make install` runs it.

python -m tools.bring_openblas
"""

from __future__ import annotations

import sys

from webapp.engine import openblas

if __name__ == "__main__" and sys.platform == "linux":
    openblas.bring(openblas.INSTALLED, private=False)
