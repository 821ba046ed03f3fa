"""The certificate that is served: read from its files, read again when they change, and watched for its end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Final

from mirage.conduit import ConfigurationError, Identity, ServerTls

__all__ = ["CHECK", "WARN", "Certificates"]

CHECK: Final = 2.0
"""Seconds between two looks at the files."""
WARN: Final = 14 * 86400.0
"""Seconds before its end from which on a certificate is warned of."""
_AGAIN: Final = 86400.0
"""Seconds between two warnings."""

_Stamp = tuple[tuple[int, int, int] | None, ...]


class Certificates:
    """A chain and its key in one or two files. `say` is told what a person should know, a line each time."""

    def __init__(self, paths: Sequence[str], say: Callable[[str], None]) -> None:
        """Reads them. Raises `mirage.conduit.ConduitError`, as the TLS implementation that is chosen may be absent."""
        self._paths = tuple(paths)
        self._say = say
        self._stamp = self._look()
        self.tls = ServerTls(identity=Identity.from_files(*self._paths), alpn=("http/1.1",))
        """What to serve with."""
        self._warned = -_AGAIN

    def check(self, now: float | None = None) -> bool:
        """Read the files again if they have changed; True when `tls` is another one. Warns of the certificate's end.

        Files that cannot be used are told of, once, and what was there goes on being served. `now` is in seconds since
        the epoch.
        """
        changed = False
        stamp = self._look()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self.tls = self.tls.with_identity(Identity.from_files(*self._paths))
            except ConfigurationError as error:
                self._say(f"the certificate has changed and cannot be used; the one before goes on: {error}")
            else:
                changed = True
                self._warned = -_AGAIN
                self._say("the certificate was read again; new connections see the new one")
        self._warn(time.time() if now is None else now)
        return changed

    def _look(self) -> _Stamp:
        """What tells whether the files are the same: when they were written, how long they are, and which they are."""
        found: list[tuple[int, int, int] | None] = []
        for path in self._paths:
            try:
                status = os.stat(path)
            except OSError:
                found.append(None)
            else:
                found.append((status.st_mtime_ns, status.st_size, status.st_ino))
        return tuple(found)

    def _warn(self, now: float) -> None:
        end = self.tls.identity.leaf.not_after
        left = end.timestamp() - now
        if left > WARN or now - self._warned < _AGAIN:
            return
        self._warned = now
        if left < 0:
            self._say(f"the certificate is not valid any more since {end:%Y-%m-%d %H:%M} UTC: clients refuse it")
        else:
            self._say(f"the certificate ends in {int(left // 86400)} days, at {end:%Y-%m-%d %H:%M} UTC: renew it")
