"""What each stage does. Every module has one `STAGE`; `ALL` maps their names to them, in order."""

from __future__ import annotations

from ..train import Stage
from . import announce, build, plan, publish, stage, verify

__all__ = ["ALL", "publish"]

ALL: dict[str, Stage] = {module.STAGE.name: module.STAGE for module in (plan, build, stage, verify, publish, announce)}
