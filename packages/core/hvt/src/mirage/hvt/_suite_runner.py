"""Runs one module of CPython's own test suite inside a guest and prints what came of it as JSON.

Not part of the tender: `mirage.hvt.testing` puts this file into an image. What a guest lacks by design is turned into
skips, whatever way a test goes about it: starting processes, and sockets other than pairs.
"""

from __future__ import annotations

import json
import os
import posix
import socket
import subprocess
import sys
import unittest
import warnings
from collections.abc import Iterator
from typing import Any

from test.support import script_helper, socket_helper  # type: ignore[import-not-found]  # CPython carries no stubs of it


class NoNetwork(unittest.SkipTest, OSError):
    """A test wants a socket; as an `OSError` it also answers the suite's questions about what there is."""


def no_process(*_: Any, **__: Any) -> Any:
    """In place of everything that starts a process."""
    raise unittest.SkipTest("processes")


_socket_init = socket.socket.__init__


def only_pairs(self: socket.socket, *arguments: Any, **named: Any) -> None:
    """In place of `socket.socket.__init__`: descriptors that exist may be wrapped."""
    if named.get("fileno") is None and len(arguments) < 4:
        raise NoNetwork("network sockets")
    _socket_init(self, *arguments, **named)


def flat(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    """The tests of a suite of suites."""
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from flat(item)
        else:
            yield item


def identify(test: Any) -> str:
    """A test's identifier; of a subtest, that of the test it is part of."""
    found: str = getattr(test, "test_case", test).id()
    return found


def main(name: str, left_out: set[str]) -> None:
    """Run `test.NAME` without the tests left out: those whose identifier ends with one of these words."""
    os.chdir("/tmp")  # noqa: S108 - the guest's own
    subprocess.Popen.__init__ = no_process  # type: ignore[method-assign]
    for call in ("fork", "forkpty", "posix_spawn", "posix_spawnp"):
        setattr(os, call, no_process)
        setattr(posix, call, no_process)
    # What the suite would find out by starting a process and by binding a socket.
    script_helper.__dict__["__cached_interp_requires_environment"] = False
    socket_helper.__dict__["_bind_nix_socket_error"] = OSError("network sockets")
    socket.socket.__init__ = only_pairs  # type: ignore[method-assign]
    warnings.simplefilter("ignore")
    suite = unittest.TestLoader().loadTestsFromName(f"test.{name}")
    tests = [test for test in flat(suite) if not any(test.id().endswith("." + word) for word in left_out)]
    result = unittest.TextTestRunner(stream=sys.stderr, verbosity=0).run(unittest.TestSuite(tests))
    bad = sorted({identify(test).removeprefix(f"test.{name}.") for test, _ in result.failures + result.errors})
    print("RESULT", json.dumps({"run": result.testsRun, "skipped": len(result.skipped), "failed": bad}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], set(sys.argv[2:]))
