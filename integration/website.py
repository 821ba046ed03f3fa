"""The main job: build the website unikernel, boot it, and either serve it until Ctrl-C or check every page of it.

Examples:
  ./noxw -s website                     build and serve; the address is printed
  ./noxw -s website -- --port 8000      serve on a port of your choice
  ./noxw -s website -- --check          build, boot, fetch every page by each way that there is (HTTP, HTTPS, IPv6; as
                                        root a virtual machine on a TAP interface too), and say whether a link is broken
  ./noxw -s website -- -t unix          a process of the host instead of a virtual machine
  ./noxw -s website -- --port 80 --https-port 443 --certificate site.pem --redirect
                                        as on a server: a certificate of yours, and HTTP only leads to HTTPS
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from . import crawl, targets

DEFAULT_PORT = 8080


def main(arguments: list[str] | None = None) -> int:
    """Run the program; the exit status is 0 only when everything that was asked for worked."""
    parser = argparse.ArgumentParser(
        prog="./noxw -s website --", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "-t",
        "--target",
        choices=targets.TARGETS,
        help="what to build (default: hvt where /dev/kvm can be used, else unix)",
    )
    parser.add_argument(
        "--port", type=int, help=f"TCP port to serve on (default: {DEFAULT_PORT}, or a free one if it is taken)"
    )
    parser.add_argument("--https-port", type=int, default=0, help="TCP port for HTTPS (default: a free one)")
    parser.add_argument(
        "--certificate", metavar="FILE", help="PEM file with certificate and key (default: made for development)"
    )
    parser.add_argument("--redirect", action="store_true", help="answer HTTP only with the way to HTTPS")
    parser.add_argument("--check", action="store_true", help="check every page and stop")
    options = parser.parse_args(arguments)
    target = options.target or chosen_target()
    try:
        return check(target) if options.check else serve(target, options.port, secure_words(options))
    except targets.Failed as failure:
        print(f"website: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("website: interrupted", file=sys.stderr)
        return 130


def chosen_target() -> str:
    """A virtual machine where one can run; says which target it took, and why."""
    if os.access("/dev/kvm", os.R_OK | os.W_OK) and platform.machine() == "x86_64":
        print("target hvt: /dev/kvm can be used, so the website is a virtual machine; -t unix makes it a process")
        return "hvt"
    if not os.path.exists("/dev/kvm"):
        why = "there is no /dev/kvm here"
    elif not os.access("/dev/kvm", os.R_OK | os.W_OK):
        why = "you may not use /dev/kvm"
    else:
        why = f"virtual machines are for x86_64, and this is {platform.machine()}"
    print(f"target unix: {why}, so the website is a process; ./noxw -s doctor says how to get a virtual machine")
    return "unix"


def check(target: str) -> int:
    """Build, boot, fetch every page by each way that there is, stop; a line for each stage with its time."""
    with stage(f"build for {target}"):
        artifact = targets.build(target, echo=_quote)
    faults: list[str] = []
    first = None
    for network in _networks(target):
        reports, status = _crawled(targets.Artifact(network, artifact.path, artifact.log))
        first = first or next(iter(reports.values()))
        for way, report in reports.items():
            faults += [f"over {way}: {sentence}" for sentence in report.broken]
            if set(report.pages) != set(first.pages):
                faults.append(f"over {way}: {len(report.pages)} pages, and not the {len(first.pages)} of the first way")
        if status:
            faults.append(f"the application ended with status {status} instead of 0")
    assert first is not None
    for sentence in faults:
        print(f"  broken: {sentence}")
    print(
        f"website: {len(first.pages)} pages, {len(first.links)} links, {len(faults)} broken, target {target}",
        flush=True,
    )
    return 1 if faults or not first.pages else 0


def _networks(target: str) -> list[str]:
    """A virtual machine is looked at behind the gateway and, where that may be made, on a TAP interface."""
    if target != "hvt":
        return [target]
    if os.geteuid() or shutil.which("ip") is None or not os.path.exists("/dev/net/tun"):
        print("no TAP interface: that needs root, iproute2 and /dev/net/tun; so the gateway alone is tried")
        return [target]
    return [target, "hvt-tap"]


def _crawled(artifact: targets.Artifact) -> tuple[dict[str, crawl.Report], int]:
    """What every page was like by each way, and the status that the application ended with."""
    reports: dict[str, crawl.Report] = {}
    where = {"hvt": ", behind the gateway", "hvt-tap": ", on a TAP interface"}.get(artifact.target, "")
    with stage(f"boot{where}"):
        running = targets.boot(artifact, ("--port", "0", "--https-port", "0"), echo=_quote)
    try:
        ways = {"HTTP": running.url, "HTTPS": running.secure}
        if running.url6 is not None:
            ways["HTTP and IPv6"] = running.url6
        for way, url in ways.items():
            with stage(f"fetch every page and follow every link over {way}"):
                reports[way + where] = crawl.crawl(url)
    finally:
        with stage("stop"):
            status, _ = running.stop()
    return reports, status


def secure_words(options: argparse.Namespace) -> list[str]:
    """The boot arguments for HTTPS."""
    words = ["--https-port", str(options.https_port)]
    if options.certificate is not None:
        words += ["--certificate", options.certificate]
    return [*words, "--redirect"] if options.redirect else words


def serve(target: str, port: int | None, secure: Sequence[str]) -> int:
    """Build and serve until Ctrl-C or SIGTERM, which the application gets as a clean stop.

    `secure` are the boot arguments for HTTPS.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with stage(f"build for {target}"):
        artifact = targets.build(target, echo=_quote)
    with stage("boot"):
        chosen = str(_free_port() if port is None else port)
        running = targets.boot(artifact, ("--port", chosen, *secure), echo=_quote)
    try:
        print(f"\nThe website is at {running.url}/ - stop it with Ctrl-C.", flush=True)
        whose = "your certificate" if "--certificate" in secure else f"a key for development: {running.pin}"
        print(f"It is at {running.secure}/ too, with {whose}\n", flush=True)
        status = running.wait(seconds=10**9)
    except KeyboardInterrupt:
        status, seconds = running.stop()
        print(f"\nstopped after {seconds:.2f} s")
        return status
    print(f"website: the application ended by itself with status {status}", file=sys.stderr)
    return status or 1


def _free_port() -> int:
    """The default port, or 0 for any where somebody listens there already."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", DEFAULT_PORT)):
            return DEFAULT_PORT
    print(f"  port {DEFAULT_PORT} is taken; using a free one (--port chooses)")
    return 0


def _quote(line: str) -> None:
    print(f"  | {line}", end="", flush=True)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Say what begins, and how long it took."""
    print(f"{name} ...", flush=True)
    started = time.monotonic()
    try:
        yield
    except KeyboardInterrupt:
        print(f"{name}: interrupted after {time.monotonic() - started:.2f} s", flush=True)
        raise
    except BaseException:
        print(f"{name}: FAILED after {time.monotonic() - started:.2f} s", flush=True)
        raise
    print(f"{name}: {time.monotonic() - started:.2f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
