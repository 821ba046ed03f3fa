"""The table at the end: a row for each feature, a column for each peer."""

from __future__ import annotations

from pathlib import Path

import pytest

from .ours import Authority


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that all sides trust."""
    return Authority(tmp_path_factory.mktemp("good"))


@pytest.fixture(scope="session")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """One that nobody does."""
    return Authority(tmp_path_factory.mktemp("strange"), "strange")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """For a peer's files."""
    return tmp_path


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Peers against features, for each role, and why a cell has no pass."""
    cells: dict[str, dict[str, dict[str, str]]] = {}
    reasons: list[str] = []
    for outcome in ("passed", "failed", "skipped"):
        for report in terminalreporter.getreports(outcome):
            found = dict(getattr(report, "user_properties", ()))
            if "peer" not in found or (report.when != "call" and outcome == "passed"):
                continue
            word = {"passed": "pass", "failed": "FAIL", "skipped": "-"}[outcome]
            if outcome == "skipped":
                reason = str(found.get("reason", report.longrepr[2] if isinstance(report.longrepr, tuple) else ""))
                if reason not in reasons:
                    reasons.append(reason)
                word = f"- ({reasons.index(reason) + 1})"
            cells.setdefault(found["role"], {}).setdefault(found["feature"], {})[found["peer"]] = word
    for role, rows in cells.items():
        terminalreporter.section(f"our {role} against the TLS of others")
        peers = list(dict.fromkeys(peer for row in rows.values() for peer in row))
        width = max(len(feature) for feature in rows)
        terminalreporter.write_line(f"{'':{width}}  " + "  ".join(f"{peer:^17}" for peer in peers))
        for feature, row in rows.items():
            line = "  ".join(f"{row.get(peer, ''):^17}" for peer in peers)
            terminalreporter.write_line(f"{feature:{width}}  {line}")
    for number, reason in enumerate(reasons, 1):
        terminalreporter.write_line(f"({number}) {reason}")
