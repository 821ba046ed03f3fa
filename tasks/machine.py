"""What this machine has of what the project can use: the one table behind `doctor`, the tests' skips and `.ci/run`.

Run as a program it prints the Debian packages that the tests use: ``apt-get install $(python3 tasks/machine.py)``.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

DEBIAN: dict[str, tuple[str, str]] = {
    "arping": ("iputils-arping", "asks the stack for its Ethernet address"),
    "atk6-implementation6": ("thc-ipv6", "sends the stack malformed IPv6 packets of every kind"),
    "avahi-browse": ("avahi-utils", "looks for the services that mirage-dns announces"),
    "avahi-daemon": ("avahi-daemon", "the peer of multicast DNS"),
    "bridge": ("iproute2", "tells which multicast groups a bridge has heard of"),
    "busybox": ("busybox-static", "the small system in which the tender is tried on an ordinary KVM"),
    "chromium": ("chromium", "screenshots and accessibility checks of the website"),
    "curl": ("curl", "a second HTTP client for the servers' tests"),
    "dbus-daemon": ("dbus-daemon", "the bus over which avahi's programs talk"),
    "debugfs": ("e2fsprogs", "looks into ext4 images that went through mirage-block"),
    "dhclient": ("isc-dhcp-client", "a client of the DHCP server's tests"),
    "dhcpcd": ("dhcpcd5", "another such client"),
    "dig": ("bind9-dnsutils", "asks the name servers of the tests"),
    "dnsmasq": ("dnsmasq-base", "the peer of the DHCP client, and a name server that the resolver asks"),
    "e2fsck": ("e2fsprogs", "checks such images"),
    "firefox-esr": ("firefox-esr", "the other browser that our TLS serves"),
    "gcc": ("gcc", "the library OS of the hvt target, compiled on first use in a source tree"),
    "gdb": ("gdb", "opens the core files of guests that faulted"),
    "git": ("git", "everything that looks at the history"),
    "gnutls-cli": ("gnutls-bin", "a client that our TLS serves"),
    "gnutls-serv": ("gnutls-bin", "a server that our TLS asks"),
    "ip": ("iproute2", "sets up the TAP interfaces of the network tests"),
    "mcopy": ("mtools", "puts files into FAT images that go through mirage-block, and gets them back"),
    "mformat": ("mtools", "makes such images"),
    "mkfs.ext4": ("e2fsprogs", "makes ext4 images that go through mirage-block"),
    "ndisc6": ("ndisc6", "asks the stack for its Ethernet address over IPv6"),
    "nginx": ("nginx-light", "the peer of the bulk-transfer benchmark"),
    "nmap": ("nmap", "scans the ports of the stack"),
    "objdump": ("binutils", "reads the compiled library OS, instruction by instruction"),
    "openssl": ("openssl", "reads and checks what mirage-asn1 and mirage-x509 write"),
    "pg_lsclusters": ("postgresql", "the same: its server is /usr/lib/postgresql/*/bin/postgres"),
    "opam": ("opam", "installs every package from our index, and orders versions as we say it does"),
    "ping": ("iputils-ping", "the kernel's side of the network tests"),
    "qemu-system-x86_64": ("qemu-system-x86", "emulates the machine with that ordinary KVM"),
    "radvd": ("radvd", "advertises routers and prefixes to the stack"),
    "rdisc6": ("ndisc6", "asks for routers, which the stack is not"),
    "redis-server": ("redis-server", "a server that clients on the event loop of the stack talk to"),
    "selfserv": ("libnss3-tools", "NSS's server, that our TLS asks"),
    "ssh-keygen": ("openssh-client", "signs the root of the package index"),
    "tar": ("tar", "the peer of mirage-tar"),
    "tcpdump": ("tcpdump", "reads the captures that the TCP/IP stack writes"),
    "tracepath": ("iputils-tracepath", "asks the stack for errors, and how long the way is"),
    "tstclnt": ("libnss3-tools", "NSS's client, that our TLS serves"),
    "udhcpc": ("udhcpc", "another such client"),
    "wrk": ("wrk", "the load generator of the HTTP benchmarks"),
}
"""Program, the Debian package that holds it, what uses it."""

LIBRARIES = {
    "linux-image-cloud-amd64": "the stock kernel that is booted in that machine",
    "linux-libc-dev": "the kernel's header that the table of system calls is checked against",
}
"""Debian packages without a program that tests use, and what for."""

ON_REQUEST: dict[str, tuple[str, str]] = {
    "bochs-bin": (
        "bochs bochs-term bochsbios",
        "emulates a machine with Intel's virtualisation: integration -- hvt --vmx",
    ),
    "xorriso": ("xorriso isolinux syslinux-common", "makes the CD that Bochs boots from"),
}
"""Programs of proofs that run only when they are asked for, with all the packages that go with each."""


def debian_package(program: str) -> str:
    """The Debian package, or packages, with a program. Raises `LookupError` for a program that the table lacks."""
    for table in (DEBIAN, ON_REQUEST):
        if program in table:
            return table[program][0]
    if program in LIBRARIES:
        return program
    raise LookupError(f"{program} is not in tasks/machine.py; add it there, with the Debian package that holds it")


def missing(program: str) -> str | None:
    """None when the program is on PATH, else the line that installs it."""
    if shutil.which(program):
        return None
    return f"{program} is not installed: apt-get install {debian_package(program)}"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report."""

    what: str
    good: bool
    detail: str
    mend: str = ""
    needed: bool = True


def _pythons() -> list[Finding]:
    found = [Finding(f"Python {sys.version_info.major}.{sys.version_info.minor}", True, sys.executable)]
    for minor in (11, 12, 13, 14):
        if sys.version_info[:2] == (3, minor):
            continue
        name = f"python3.{minor}"
        path = shutil.which(name)
        mend = "" if path else f"uv python install 3.{minor}, or apt-get install {name} where Debian has it"
        found.append(Finding(f"Python 3.{minor}", bool(path), path or "only needed to test on it", mend, needed=False))
    return found


def _programs() -> list[Finding]:
    found = []
    for table, needed in ((DEBIAN, True), (ON_REQUEST, False)):
        for program, (package, use) in table.items():
            path = shutil.which(program)
            found.append(Finding(program, bool(path), use, "" if path else f"apt-get install {package}", needed))
    return found


def _device(path: str, use: str, absent: str) -> Finding:
    if not os.path.exists(path):
        return Finding(path, False, use, absent, needed=False)
    if not os.access(path, os.R_OK | os.W_OK):
        group = "kvm" if path.endswith("kvm") else "root"
        return Finding(
            path, False, f"{use}; you may not open it", f"usermod -aG {group} $USER, then log in again", False
        )
    return Finding(path, True, use, needed=False)


def _kernel() -> Finding:
    """Whether a stock kernel of Debian's is there to be booted under emulation."""
    package, found = "linux-image-cloud-amd64", sorted(Path("/boot").glob("vmlinuz-*-amd64"))
    mend = "" if found else f"apt-get install {package}"
    return Finding(package, bool(found), str(found[-1]) if found else LIBRARIES[package], mend)


def examine() -> list[Finding]:
    """Look at everything the project can use on this machine."""
    return [
        *_pythons(),
        *_programs(),
        _kernel(),
        _device(
            "/dev/kvm",
            "the hvt target: guests of mirage-hvt",
            "enable virtualisation in the firmware, then modprobe kvm_intel (or kvm_amd)",
        ),
        _device("/dev/net/tun", "TAP interfaces, for mirage-net", "modprobe tun"),
    ]


def report(findings: list[Finding]) -> str:
    """The findings as a table, and what to type for everything that is missing."""
    width = max(len(f.what) for f in findings)
    lines = []
    for finding in findings:
        mark = "ok     " if finding.good else ("MISSING" if finding.needed else "absent ")
        lines.append(f"  {mark}  {finding.what:{width}}  {finding.detail}")
        if finding.mend:
            lines.append(f"  {'':7}  {'':{width}}  -> {finding.mend}")
    absent = [f for f in findings if not f.good and f.needed]
    packages = sorted({debian_package(f.what) for f in absent})
    if packages:
        lines += [
            "",
            "Tests that need what is missing are skipped. To run them all:",
            f"  apt-get install {' '.join(packages)}",
        ]
    else:
        lines += ["", "Everything that the test suite uses is here."]
    return "\n".join(lines)


if __name__ == "__main__":
    print(" ".join(sorted({package for package, _ in DEBIAN.values()} | LIBRARIES.keys())))
