"""The results that `inside` writes to an emulated machine's serial console."""

from __future__ import annotations

import json
from typing import Any

MARK = "@@ "


def parse(text: str) -> dict[str, dict[str, Any]]:
    """The results by case; lines of the kernel and of `init` are passed over."""
    lines = [line.strip() for line in text.splitlines()]
    found = [json.loads(line.removeprefix(MARK)) for line in lines if line.startswith(MARK)]
    return {result["case"]: result for result in found}
