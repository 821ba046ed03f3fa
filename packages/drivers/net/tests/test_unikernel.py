"""The driver in a guest on /dev/kvm, on a TAP in a network namespace, with the host's kernel at its other end."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import time
from pathlib import Path

import mirage.net
import mirage.types
import pytest
from mirage.hvt import build

pytestmark = [
    pytest.mark.kvm,
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.tool("gcc"),
    pytest.mark.tool("ip"),
    pytest.mark.usefixtures("namespace"),
]

GUEST = Path(__file__).with_name("unikernel_guest.py")


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


def processor_time(process: int) -> float:
    """Seconds of processor time that a process has used."""
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def test_the_driver_in_a_unikernel(tmp_path: Path) -> None:
    """Address and MTU, partial checksums both ways, super-frames both ways; down it loses frames, deleted it ends."""
    folders = sorted({str(Path(str(module.__file__)).parents[2]) for module in (mirage.net, mirage.types)})
    image = build(tmp_path / "image.hvt", GUEST, path=folders, devices={"net0": "net"}, memory=64 << 20).path
    ip("tuntap", "add", "dev", "guest0", "mode", "tap")
    ip("link", "set", "guest0", "mtu", "2000")
    Path("/proc/sys/net/ipv6/conf/guest0/disable_ipv6").write_text("1")  # nothing is said that nobody asked for
    ip("address", "add", "10.9.0.1/24", "dev", "guest0")
    ip("link", "set", "guest0", "up")
    theirs = bytes.fromhex(ip("-o", "link", "show", "guest0").split("link/ether ")[1][:17].replace(":", ""))
    command = [sys.executable, "-m", "mirage.hvt", "run", "--net", "net0=tap:guest0", str(image)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True) as guest:
        assert guest.stdin is not None
        assert guest.stdout is not None
        try:
            mac, *rest = guest.stdout.readline().split()
            assert rest == ["2000", "True"]
            assert bytes.fromhex(mac) == bytes([theirs[0] & 0xFE | 2, theirs[1] ^ 0x80]) + theirs[2:]
            ours = ":".join(mac[i : i + 2] for i in range(0, 12, 2))
            ip("neighbour", "replace", "10.9.0.2", "lladdr", ours, "dev", "guest0")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
                udp.settimeout(30)
                for echoes in (True, False):
                    assert guest.stdout.readline() == "udp\n"
                    udp.sendto(b"hello", ("10.9.0.2", 9))
                    if echoes:
                        assert udp.recv(100) == b"hello"
            assert guest.stdout.readline() == "tcp\n"
            content = random.Random(1).randbytes(60_000)
            with socket.create_connection(("10.9.0.2", 7), timeout=30) as tcp:
                tcp.sendall(content)
                got = b""
                while len(got) < len(content):
                    part = tcp.recv(1 << 20)
                    assert part, "the guest closed the connection"
                    got += part
            assert got == content
            word, longest = guest.stdout.readline().split()
            assert word == "longest"
            assert int(longest) > 2000, "the kernel sent no super-frame"
            while guest.stdout.readline() != "down\n":
                pass
            ip("link", "set", "guest0", "down")
            guest.stdin.write("\n")
            guest.stdin.flush()
            assert guest.stdout.readline() == "True 0\n"
            before = processor_time(guest.pid)
            time.sleep(0.5)
            assert processor_time(guest.pid) - before < 0.2, "the tender does not sleep"
            ip("link", "delete", "guest0")
            output, _ = guest.communicate(timeout=30)
        except BaseException:
            guest.kill()
            print(guest.stdout.read())
            raise
    assert guest.returncode == 0, output
    assert output == "/dev/net0 does not work any more: No such device\n"
