"""Firefox, headless, led by Marionette: its remote control, a socket on loopback with JSON in netstrings."""

from __future__ import annotations

import atexit
import contextlib
import json
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["Refusal", "page"]

_SECONDS = 60
_PREFERENCES: dict[str, bool | int | str] = {
    "marionette.port": 0,  # one that is free; it stands in a file of the profile
    "network.dns.localDomains": "other.test",  # is this machine, as localhost is
    "network.proxy.type": 0,
    "network.trr.mode": 5,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "security.OCSP.enabled": 0,
    "app.normandy.enabled": False,
    "app.update.auto": False,
    "browser.safebrowsing.downloads.remote.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "services.settings.server": "data:,",
    "toolkit.telemetry.server": "",
}


class Refusal(Exception):
    """What Firefox says of a page that it does not show."""


class _Marionette:
    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), _SECONDS)
        self._stream = self._socket.makefile("rb")
        self._count = 0
        self._read()  # who it is

    def _read(self) -> Any:
        length = b""
        while not length.endswith(b":"):
            octet = self._stream.read(1)
            if not octet:
                raise Refusal("Firefox ended")
            length += octet
        return json.loads(self._stream.read(int(length[:-1])))

    def call(self, command: str, **parameters: Any) -> Any:
        self._count += 1
        message = json.dumps([0, self._count, command, parameters]).encode()
        self._socket.sendall(b"%d:%s" % (len(message), message))
        _, _, error, result = self._read()
        if error is not None:
            raise Refusal(f"{error['error']}: {error['message']}")
        return result

    def quit(self) -> None:
        """End the browser."""
        with contextlib.suppress(Refusal, OSError):
            self.call("Marionette:Quit", flags=["eForceQuit"])
        self._stream.close()
        self._socket.close()


def _start(profile: Path, preferences: Mapping[str, bool | int | str]) -> _Marionette:
    wanted = {**_PREFERENCES, **preferences}
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in wanted.items()]
    (profile / "user.js").write_text("\n".join(lines))
    active = profile / "MarionetteActivePort"
    command = ["env", f"HOME={profile}", "firefox-esr", "--headless", "--no-remote", "--marionette"]
    process = subprocess.Popen(
        [*command, "--profile", str(profile)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    atexit.register(process.kill)
    deadline = time.monotonic() + _SECONDS
    while not (active.exists() and active.read_text().strip()):
        assert process.poll() is None, "Firefox does not start"
        assert time.monotonic() < deadline, "Firefox does not listen"
        time.sleep(0.1)
    marionette = _Marionette(int(active.read_text()))
    atexit.register(marionette.quit)  # the last one to be registered is the first to be called
    marionette.call("WebDriver:NewSession", capabilities={})
    return marionette


_running: dict[Path, _Marionette] = {}


def page(profile: Path, uri: str, preferences: Mapping[str, bool | int | str] = {}) -> str:
    """The source of a page. The browser of a profile is started once, and ends with us. Raises `Refusal`."""
    if profile not in _running:
        _running[profile] = _start(profile, preferences)
    browser = _running[profile]
    browser.call("WebDriver:Navigate", url=uri)
    return str(browser.call("WebDriver:GetPageSource")["value"])
