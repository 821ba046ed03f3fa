"""dnsmasq on the kernel's end of a TAP, for as long as a test runs."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from mirage.net import TapNetwork


@contextlib.contextmanager
def dnsmasq(tap: TapNetwork, folder: Path, hosts: str, *words: str) -> Iterator[None]:
    """Names and addresses for who is at our end; `hosts` are lines as of `/etc/hosts`, `words` further options."""
    file = folder / "hosts"
    file.write_text(hosts)
    server = subprocess.Popen(
        [
            "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
            f"--addn-hosts={file}", f"--interface={tap.name}", "--bind-interfaces", "--user=root",
            "--domain=example.test", "--leasefile-ro", f"--pid-file={folder / 'pid'}", *words,
        ],
    )  # fmt: skip
    try:
        yield
    finally:
        server.terminate()
        server.wait()
