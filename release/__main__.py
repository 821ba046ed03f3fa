"""``./noxw -s release -- plan|build|stage|verify|publish|announce|run|status|rehearse|yank|abandon``."""

from __future__ import annotations

import sys
from pathlib import Path

from .cli import main

if __name__ == "__main__":
    sys.exit(main(Path.cwd(), sys.argv[1:]))
