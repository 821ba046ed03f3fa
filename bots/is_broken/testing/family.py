"""A made-up family of packages on an upstream on loopback, and a project that uses it."""

from __future__ import annotations

from pathlib import Path

from ..config import Config, Limits, Step, Suite
from .stage import DAY, PYTHON, Stage
from .upstream import Upstream

EPOCH = 1_760_000_000.0
"""The first release of everything."""

CHECK = '''\
"""Passes unless a member of the family says that it breaks beside the others that are installed."""
import importlib, os, pathlib, sys

names = sorted(sys.argv[1:])
members = {name: importlib.import_module(name) for name in names}
number = {name: int(member.VERSION.split(".")[0]) for name, member in members.items()}
for name, member in members.items():
    if all(number.get(other, 0) >= least for other, least in member.BREAKS_BESIDE.items()) and member.BREAKS:
        raise AttributeError(f"module {name!r} has no attribute 'greet' (at {pathlib.Path(member.__file__).parent})")
    member.run(pathlib.Path(os.environ["FAMILY_NOTES"]))
print("all", len(members), "members are well")
'''


def module(version: str, breaks: bool = False, beside: dict[str, int] | None = None, run: str = "pass") -> str:
    """The source of a member; it breaks beside the members named, from these versions on; `run` is its check."""
    return (
        f"VERSION = {version!r}\nBREAKS = {breaks!r}\nBREAKS_BESIDE = {beside or {}!r}\n\ndef run(notes):\n    {run}\n"
    )


class Family(Stage):
    """Members ``fam-a``, ``fam-b``, ... at version 1.0, and nights over a project that checks them."""

    def __init__(self, folder: Path, upstream: Upstream, members: tuple[str, ...] = ("a", "b", "c", "d")) -> None:
        self.upstream = upstream
        self.limits = Limits(seconds=60.0, memory=512 << 20)
        names = [f"fam_{member}" for member in members]
        suite = Suite(
            "family",
            (Step("check", ("python", "check.py", *names)),),
            requirements=tuple(f"fam-{member}>=1" for member in members),
            packages=False,
            environ={"FAMILY_NOTES": str(folder / "notes")},
        )
        config = Config(lanes=("control", "newest"), suites=(suite,), limits=self.limits, pythons=(PYTHON,))
        environ = {"UV_CACHE_DIR": str(folder / "cache"), "UV_HTTP_RETRIES": "0"}
        super().__init__(folder, (upstream.url,), config, EPOCH + 100 * DAY, environ)
        (folder / "project").mkdir(parents=True)
        (folder / "project" / "check.py").write_text(CHECK)
        (folder / "notes").mkdir()
        for member in members:
            self.release(member, "1.0", day=0)

    def release(
        self,
        member: str,
        version: str,
        *,
        day: float,
        breaks: bool = False,
        beside: dict[str, int] | None = None,
        run: str = "pass",
        requires: tuple[str, ...] = (),
        requires_python: str = ">=3.8",
    ) -> None:
        """Publish a member's release, some days after the first."""
        others = {f"fam_{name}": least for name, least in (beside or {}).items()}
        self.upstream.release(
            f"fam-{member}",
            version,
            {f"fam_{member}.py": module(version, breaks, others, run)},
            uploaded=EPOCH + day * DAY,
            requires=requires,
            requires_python=requires_python,
            links={"Changelog": f"https://fam-{member}.example/changes"},
        )
