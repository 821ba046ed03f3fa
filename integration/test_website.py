"""What `./noxw -s website` decides before it builds anything."""

from __future__ import annotations

import os

import pytest

from . import website


@pytest.mark.parametrize(
    ("exists", "usable", "machine", "target", "why"),
    [
        (True, True, "x86_64", "hvt", "target hvt: /dev/kvm can be used"),
        (True, True, "aarch64", "unix", "virtual machines are for x86_64, and this is aarch64"),
        (True, False, "x86_64", "unix", "you may not use /dev/kvm"),
        (False, False, "x86_64", "unix", "there is no /dev/kvm here"),
    ],
)
def test_the_target_is_chosen_and_said(
    exists: bool,
    usable: bool,
    machine: str,
    target: str,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A virtual machine where one can run, and why not elsewhere."""
    monkeypatch.setattr(os, "access", lambda path, mode: usable)
    monkeypatch.setattr(os.path, "exists", lambda path: exists)
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert website.chosen_target() == target
    assert why in capsys.readouterr().out


def test_a_virtual_machine_is_checked_on_a_tap_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """As root; others are told what that needs."""
    monkeypatch.setattr("shutil.which", lambda program: program)
    monkeypatch.setattr(os.path, "exists", lambda path: True)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert website._networks("hvt") == ["hvt", "hvt-tap"]
    assert website._networks("unix") == ["unix"]
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert website._networks("hvt") == ["hvt"]
