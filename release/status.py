"""Where trains are, as tables."""

from __future__ import annotations

from .journal import STAGES, Journal

__all__ = ["table"]


def table(journal: Journal, steps: bool = False) -> str:
    """A train's stages: state, steps and seconds; with `steps` each step and what it left."""
    count = len((journal.data["plan"] or {"packages": []})["packages"])
    given_up = f", given up: {journal.data['abandoned']}" if "abandoned" in journal.data else ""
    lines = [f"train {journal.train}: {count} packages{given_up}"]
    lines.append(f"  {'stage':<10} {'state':<8} {'steps':>5} {'seconds':>9}")
    for stage in STAGES:
        row = f"  {stage:<10} {journal.state(stage):<8} {len(journal.steps(stage)):>5} {journal.seconds(stage):>9.2f}"
        lines.append(row)
        if steps:
            lines += [f"    {name}: {_short(value)}" for name, value in journal.steps(stage).items()]
    lines.append(f"  {'together':<25} {sum(map(journal.seconds, STAGES)):>9.2f}")
    if left := journal.data.get("left_out"):
        lines.append(f"  verify left out: {', '.join(left)}")
    return "\n".join(lines)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 90 else f"{text[:87]}..."
