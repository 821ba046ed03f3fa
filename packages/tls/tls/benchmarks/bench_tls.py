"""Handshakes, bulk data and memory: mirage.tls beside Python's ssl and tlslite-ng.

Everything is in memory and in one process, both ends together, in seconds of CPU time; the rounds are interleaved and
the best of each counts. TLS 1.3, X25519, a P-256 certificate under a P-256 CA, AES-128-GCM. The client validates the
chain: ours with mirage.x509, ssl with OpenSSL; tlslite-ng validates none. The two OpenSSL libraries are not the same,
so both are printed. Python's ssl takes its suites of TLS 1.3 from OpenSSL's own configuration only, so the program
starts itself again with one that names AES-128-GCM.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import secrets
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _peers import Library, Own, Stdlib, StdlibWhole, Tlslite
from cryptography.hazmat.backends.openssl import backend


def rates(works: dict[str, tuple[Callable[[], object], int]], rounds: int) -> dict[str, float]:
    """Runs per second of CPU time: the best of the rounds."""
    found = dict.fromkeys(works, 0.0)
    for _ in range(rounds):
        for name, (work, count) in works.items():
            gc.collect()
            start = time.process_time()
            for _ in range(count):
                work()
            found[name] = max(found[name], count / (time.process_time() - start))
    return found


def memory(own: Own, count: int = 1000) -> float:
    """Octets that the process grows by for one idle connection of a server, OpenSSL's contexts included."""

    def resident() -> int:
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    kept = [own.handshake()[1] for _ in range(50)]
    before = resident()
    kept += [own.handshake()[1] for _ in range(count)]
    return (resident() - before) / count


def figure(what: str, ours: float, peer: str, theirs: float, target: str) -> dict[str, object]:
    """In the form that the bench session collects."""
    return {"figure": what, "ours": ours, "peer": peer, "theirs": theirs, "ratio": ours / theirs, "target": target}


_CONFIGURATION = """openssl_conf = start
[start]
ssl_conf = modules
[modules]
system_default = suites
[suites]
Ciphersuites = TLS_AES_128_GCM_SHA256
"""


def again_with_the_suite() -> None:
    """Start the program again, with OpenSSL's configuration of the module's docstring."""
    if "MIRAGE_BENCH_TLS" not in os.environ:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "openssl.cnf")
            file.write_text(_CONFIGURATION)
            environment = {**os.environ, "OPENSSL_CONF": str(file), "MIRAGE_BENCH_TLS": "1"}
            sys.exit(subprocess.run([sys.executable, *sys.argv], env=environment, check=False).returncode)


def main() -> None:
    """Measure and print."""
    again_with_the_suite()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="without tlslite-ng")
    parser.add_argument("--json", metavar="FILE", type=Path)
    options = parser.parse_args()
    own, stdlib = Own(), Stdlib()
    own.handshake()
    stdlib.handshake()
    works: dict[str, tuple[Callable[[], object], int]] = {
        "own full": (own.handshake, 200),
        "ssl full": (stdlib.handshake, 200),
        "own resumed": (own.resume, 200),
        "ssl resumed": (stdlib.resume, 200),
    }
    # The C library gives freed memory back to the kernel above a threshold that it learns from the largest block that
    # was ever freed. A process that has lived a little has learnt; without it, every write would fault its pages anew.
    _ = bytearray(1 << 22)
    del _
    peers: list[tuple[str, Any]] = [
        ("own", own),
        ("ssl", stdlib),
        ("whole", StdlibWhole()),
        ("library", Library()),
    ]
    if not options.quick:
        tlslite = Tlslite()
        works["tlslite full"] = (tlslite.handshake, 3)
        peers.append(("tlslite", tlslite))
    sizes = {"16K": 1 << 14, "256K": 1 << 18}
    datas = {label: secrets.token_bytes(size) for label, size in sizes.items()}
    for name, peer in peers:
        for label, size in sizes.items():
            ends = peer.records(size) if name == "library" else peer.handshake()
            count = 1 if name == "tlslite" else (1 << 27) // size // (8 if label == "16K" else 4)
            works[f"{name} {label}"] = (lambda p=peer, e=ends, d=datas[label]: p.transfer(e, d), count)
    found = rates(works, options.rounds)
    for name in works:
        for label, size in sizes.items():
            if name.endswith(label):
                found[name] *= size / 1e6
    kept = memory(own)
    print(f"Python {sys.version.split()[0]}; ours: {backend.openssl_version_text()}; ssl: {ssl.OPENSSL_VERSION}")
    for name, value in found.items():
        print(f"{name:>16}  {value:12,.1f} {'MB/s' if name.endswith('K') else 'handshakes/s'}")
    print(f"memory of an idle connection of a server: {kept / 1000:.1f} KB")
    figures = [
        figure("full handshakes/s", found["own full"], "ssl", found["ssl full"], ">= 0.5"),
        figure("resumed handshakes/s", found["own resumed"], "ssl", found["ssl resumed"], ">= 0.6"),
        figure("bulk MB/s, 256 KiB writes", found["own 256K"], "ssl", found["ssl 256K"], ">= 1.0"),
        figure("bulk MB/s, 16 KiB writes", found["own 16K"], "ssl", found["ssl 16K"], ">= 0.7"),
        figure("bulk MB/s, 256 KiB writes", found["own 256K"], "ssl whole", found["whole 256K"], ""),
        figure("bulk MB/s, 16 KiB writes", found["own 16K"], "ssl whole", found["whole 16K"], ""),
        figure("bulk MB/s, 256 KiB writes", found["own 256K"], "library", found["library 256K"], ""),
        figure("bulk MB/s, 16 KiB writes", found["own 16K"], "library", found["library 16K"], ""),
        figure("KB for an idle connection", kept / 1000, "budget", 40.0, "<= 1"),
    ]
    if not options.quick:
        figures.append(figure("full handshakes/s", found["own full"], "tlslite-ng", found["tlslite full"], ">= 10"))
        bulk = figure("bulk MB/s, 256 KiB writes", found["own 256K"], "tlslite-ng", found["tlslite 256K"], ">= 1000")
        figures.append(bulk)
    for row in figures:
        print(f"{row['figure']:>26} / {row['peer']:10} {row['ratio']:8.2f}  target {row['target']}")
    if options.json is not None:
        options.json.write_text(json.dumps({"figures": figures, "rows": [found]}, indent=2) + "\n")


if __name__ == "__main__":
    main()
