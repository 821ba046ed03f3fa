"""What a small page of the built website costs: CPU microseconds of the server for a request, beside a bare hello.

The website is the artifact that `mirage build` makes from `site/`, started as anybody would; the hello is a service of
one line on the same server. The target is at most 1.5 times the hello.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from _table import figure, free_port, load, running, show, write
from bench_serve import OWN

CONFIG = Path(__file__).resolve().parents[4] / "site" / "config.py"
PAGE = "/status/"


def built() -> Path:
    """The website's artifact, made anew where anything has changed."""
    mirage = [str(Path(sys.executable).with_name("mirage"))]
    for command in (["configure", "-t", "unix"], ["build"]):
        subprocess.run([*mirage, *command, "-f", str(CONFIG)], check=True, capture_output=True)
    query = subprocess.run(
        [*mirage, "query", "-f", str(CONFIG), "artifact"], check=True, capture_output=True, text=True
    )
    return CONFIG.parent / query.stdout.strip()


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=3, help="how long to load each server in each round (3)")
    parser.add_argument("--rounds", type=int, default=2, help="rounds, of which the best counts (2)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures to FILE too")
    options = parser.parse_args()
    artifact = str(built())
    best: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as directory:
        cwd = Path(directory)
        (cwd / "own.py").write_text(OWN)
        for _ in range(options.rounds):
            for name, target in (("cohttp hello", "/"), ("website page", PAGE)):
                port = free_port()
                hello = [sys.executable, "own.py", str(port), "direct"]
                site = [sys.executable, "-I", artifact, "--port", str(port)]
                with running(hello if target == "/" else site, port, cwd) as pid:
                    found = load(f"http://127.0.0.1:{port}{target}", pid, options.seconds)
                best[name] = min(best.get(name, found), found)
    own = best["cohttp hello"][0]
    rows: list[dict[str, object]] = [
        {"server": name, "CPU us/request": round(cpu, 1), "requests/s": round(rate), "CPU / hello": round(cpu / own, 2)}
        for name, (cpu, rate) in best.items()
    ]
    show(rows)
    cost = figure(f"the site's {PAGE}, CPU us/request", best["website page"][0], "cohttp hello", own, "<= 1.5")
    write(options.json, [cost], rows)


if __name__ == "__main__":
    main()
