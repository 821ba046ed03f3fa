"""What type checkers accept and refuse, by running them; mypy always, pyright where it is installed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PRELUDE = """\
from mirage.opium import INT, REST, STR, App, Params, Request, Response, pattern, root

app = App()
person = root / "person" / STR / INT
files = root / "files" / REST


def show(request: Request, name: str, age: int) -> Response:
    return Response()


async def later(request: Request, name: str, age: int) -> Response:
    return Response()


def wrong(request: Request, name: int) -> Response:
    return Response()


"""

GOOD = [
    "app.get(person, show)",
    "app.post(person, later)",
    "app.put(person, lambda request, name, age: Response(body=name.encode() * age))",
    "app.get(root, lambda request: Response())",
    "app.on('PURGE', files, lambda request, path: Response(body=path.encode()))",
    "app.get(pattern('/x/:y'), lambda request, params: Response(body=params['y'].encode()))",
    "app.get(person)(show)",
    "app.mount(root / 'api', app)",
    "url: str = person.url('Ann', 42)",
    "found: tuple[str, int] | None = person.match('/person/Ann/42')",
    "pattern('/x/:y').url(Params({'y': 'z'}))",
]
BAD = [
    "app.get(person, wrong)",
    "app.get(person)(wrong)",
    "app.get(root, show)",
    "app.get(person, lambda request, name: Response())",
    "app.get(person, lambda request, name, age: 'text')",
    "app.get(person, lambda request, name, age: Response(body=age.encode()))",
    "app.get(pattern('/x/:y'), show)",
    "app.get('/person', show)",
    "app.mount(person, app)",
    "person.url('Ann')",
    "person.url('Ann', '42')",
    "person.url('Ann', 42, 1)",
    "files.url(1)",
    "files / 'more'",
    "root / 5",
    "pattern('/x/:y').url('z')",
]


MYPY = ["mypy", "--strict", "--config-file=", "--hide-error-context"]


@pytest.mark.slow
@pytest.mark.parametrize("checker", [MYPY, ["pyright"]], ids=["mypy", "pyright"])
def test_a_wrong_handler_and_a_wrong_url_are_type_errors(checker: list[str], tmp_path: Path) -> None:
    """The checker reports exactly the bad lines, and not one of the good."""
    pytest.importorskip(checker[0])
    lines = PRELUDE.splitlines() + GOOD + BAD
    snippet = tmp_path / "snippet.py"
    snippet.write_text("\n".join(lines) + "\n")
    found = subprocess.run(
        [sys.executable, "-m", *checker, snippet.name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    reported = {int(number) for number in re.findall(r"snippet\.py:(\d+):.*\berror:", found.stdout)}
    reported |= {int(number) for number in re.findall(r"snippet\.py:(\d+):\d+ - error", found.stdout)}
    assert {lines[number - 1] for number in reported} == set(BAD), found.stdout + found.stderr
