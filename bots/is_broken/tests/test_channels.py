"""Mail, files and webhooks: against real servers on loopback."""

from __future__ import annotations

import asyncio
import email
import email.policy
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from bots.is_broken.channels import Around, FilesChannel, MailChannel, WebhookChannel, open_channels
from bots.is_broken.config import Reporting
from bots.is_broken.errors import ConfigError, Postponed, Refused
from bots.is_broken.model import State
from bots.is_broken.report import Channel, Event, report

from .sample import JOB, after, bad, finding, good


class Box:
    """A mail server's handler that keeps what arrives, or answers as it is told to."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.answer = "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.answer.startswith("250"):
            assert envelope.content is not None
            raw = envelope.content if isinstance(envelope.content, bytes) else envelope.content.encode()
            mail = email.message_from_bytes(raw, policy=email.policy.default)
            assert isinstance(mail, EmailMessage)
            self.mails.append(mail)
        return self.answer


@pytest.fixture
def box() -> Iterator[tuple[Box, MailChannel]]:
    """A mail server, and the channel to it."""
    handler = Box()
    loop = asyncio.new_event_loop()
    listening = loop.create_server(lambda: SMTP(handler, hostname="mail.example", loop=loop), "127.0.0.1", 0)
    server = loop.run_until_complete(listening)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        port = server.sockets[0].getsockname()[1]
        yield handler, MailChannel("127.0.0.1", port, "bot@mirage.example", ("ann@x.example", "b@y.example"), tls=False)
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def life(channel: Channel) -> tuple[State, list[list[Event]], list[str]]:
    """An issue's life in a channel: opened, seen, changed, good, closed, reopened."""
    more = replace(finding(night=2), jobs=(JOB.key, "newest-website-hvt-3.11"))
    rows = [(finding(),), (finding(night=1),), (more,), (), (), (finding(night=5),)]
    state, said, failed = State(), [], []
    for number, row in enumerate(rows):
        night = bad(number, *row) if row else good(number)
        state = after(state, night, *row)
        state, summary = report(state, night, [channel], lambda state: None)
        said.append([event for _, _, event in summary.events])
        failed += summary.failed
    return state, said, failed


LIFE = [[Event.OPENED], [Event.SEEN], [Event.CHANGED], [], [Event.CLOSED], [Event.REOPENED]]


@pytest.mark.slow
def test_mail(box: tuple[Box, MailChannel]) -> None:
    """Four mails of one thread arrive at a real SMTP server: none for a night that changes nothing."""
    handler, channel = box
    _, said, failed = life(channel)
    assert (said, failed) == (LIFE, [])
    assert [mail["Subject"][:24] for mail in handler.mails] == [
        "[is_broken] leftpad 2.0 ",
        *["Re: [is_broken] leftpad "] * 3,
    ]
    assert len({mail["Message-ID"] for mail in handler.mails}) == 4
    assert {mail["References"] for mail in handler.mails} == {f"<{finding().key}@mirage.example>"}
    assert handler.mails[0]["To"] == "ann@x.example, b@y.example"
    assert handler.mails[0]["Date"] == "Wed, 25 Nov 2026 03:00:00 +0000"
    text = handler.mails[0].get_content()
    assert "`leftpad 2.0`" in text
    assert "<!--" not in text
    assert "Mended: `leftpad 1.9` is taken instead" in handler.mails[2].get_content()


@pytest.mark.slow
def test_a_mail_server_that_does_not_take_it(box: tuple[Box, MailChannel]) -> None:
    """A transient refusal is tried again the next time with the same Message-ID; a permanent one is said."""
    handler, channel = box
    night = bad(0, finding())
    state = after(State(), night, finding())
    handler.answer = "451 4.3.0 later"
    state, summary = report(state, night, [channel], lambda state: None)
    assert summary.failed == ["mail: the mail server asks to be tried later: 451 4.3.0 later"]
    assert state.reports[finding().key]["mail"].pending
    handler.answer = "554 5.7.1 never"
    state, summary = report(state, night, [channel], lambda state: None)
    assert summary.failed == ["mail: the mail server refuses: 554 5.7.1 never"]
    handler.answer = "250 OK"
    state, summary = report(state, night, [channel], lambda state: None)
    assert len(handler.mails) == 1
    assert not state.reports[finding().key]["mail"].pending


@pytest.mark.slow
def test_no_mail_server(box: tuple[Box, MailChannel]) -> None:
    """A port where nobody listens is no crash."""
    night = bad(0, finding())
    nobody = MailChannel("127.0.0.1", 1, "bot@mirage.example", ("a@b.example",))
    _, summary = report(after(State(), night, finding()), night, [nobody, box[1]], lambda state: None)
    assert "cannot be reached" in summary.failed[0]
    assert len(box[0].mails) in {0, 1}


def test_hostile_text_in_mail() -> None:
    """A line break in a name forges no header field."""
    evil = finding(replace(finding().culprits.changes[0], name="x\r\nBcc: all@x.example"))
    from bots.is_broken import wording
    from bots.is_broken.report import Message

    message = Message(Event.OPENED, evil, "n", 0.0, wording.title(evil), wording.body(evil, 1), "")
    mail = MailChannel("h", 25, "bot@mirage.example", ("a@b.example",)).compose(message)
    assert mail["Bcc"] is None
    assert "\n" not in mail["Subject"]


@pytest.mark.slow
def test_files(tmp_path: Path) -> None:
    """One file a finding: the text as it is now, then each comment, once."""
    state, said, _ = life(FilesChannel(tmp_path))
    assert said == LIFE
    (file,) = tmp_path.iterdir()
    text = file.read_text()
    assert text.startswith(f"<!-- is-broken {finding().key} -->\n# leftpad 2.0 breaks the build")
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        "## Changed, 27 November 2026, 03:00 UTC",
        "## Closed, 29 November 2026, 03:00 UTC",
        "## Reopened, 30 November 2026, 03:00 UTC",
    ]
    night = state.nights[-1]
    earlier = {key: {name: replace(one, open=False, night="") for name, one in reports.items()}
               for key, reports in state.reports.items()}  # fmt: skip
    report(replace(state, reports=earlier), night, [FilesChannel(tmp_path)], lambda state: None)
    assert file.read_text() == text, "said again after a crash, it is there once"


class Hook:
    """A web server that keeps what is posted to it."""

    def __init__(self) -> None:
        self.posts: list[tuple[dict[str, str], bytes]] = []
        self.status = 204
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.posts.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(hook.status)
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *words: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def hook() -> Iterator[Hook]:
    """The web server."""
    found = Hook()
    yield found
    found.close()


def deliver(channel: Channel) -> Any:
    """Report one finding."""
    night = bad(0, finding())
    return report(after(State(), night, finding()), night, [channel], lambda state: None)[1]


@pytest.mark.slow
def test_webhook(hook: Hook) -> None:
    """JSON with a signature that the receiver can check, and an identity of its own."""
    channel = WebhookChannel(f"http://127.0.0.1:{hook.server.server_port}/x", "a secret")
    _, said, failed = life(channel)
    assert (said, failed) == (LIFE, [])
    assert [json.loads(body)["event"] for _, body in hook.posts] == ["opened", "changed", "closed", "reopened"]
    assert len({fields["idempotency-key"] for fields, _ in hook.posts}) == 4
    for fields, body in hook.posts:
        expected = hmac.new(b"a secret", body, hashlib.sha256).hexdigest()
        assert fields["x-is-broken-signature"] == f"sha256={expected}"
        assert json.loads(body)["finding"]["key"] == finding().key


@pytest.mark.slow
@pytest.mark.parametrize(("status", "error"), [(503, Postponed), (429, Postponed), (403, Refused), (302, Refused)])
def test_a_webhook_that_does_not_take_it(hook: Hook, status: int, error: type[Exception]) -> None:
    """A failure of the server's is tried again; a redirect is followed nowhere."""
    hook.status = status
    summary = deliver(WebhookChannel(f"http://127.0.0.1:{hook.server.server_port}/x"))
    assert summary.failed == [f"webhook: the webhook answers {status}"]
    assert len(hook.posts) == 1
    assert error in {Postponed, Refused}


def around(tmp_path: Path, environment: dict[str, str], **settings: Any) -> Around:
    """A configuration."""
    return Around(Reporting(**settings), tmp_path, environment, lambda: 0.0, lambda seconds: None)


def made_elsewhere(around: Around) -> Channel:
    """A plug-in's function."""
    return FilesChannel(around.folder / "plug-in")


def test_channels_by_name(tmp_path: Path) -> None:
    """Without a token GitHub's channel is files; a plug-in is named by its function; errors name the key."""
    found = open_channels(around(tmp_path, {}, channels=("github", "files"), repository="a/b"))
    assert [channel.name for channel in found] == ["files"]
    found = open_channels(around(tmp_path, {"GITHUB_TOKEN": "t"}, channels=("github",), repository="a/b"))
    assert [channel.name for channel in found] == ["github"]
    options = {
        "mail.host": "h",
        "mail.from": "bot@x.example",
        "mail.to": "a@b.example",
        "webhook.url": "https://h.example/",
    }
    found = open_channels(around(tmp_path, {}, channels=("mail", "webhook"), options=options))
    assert [channel.name for channel in found] == ["mail", "webhook"]
    (found,) = open_channels(around(tmp_path, {}, channels=("bots.is_broken.channels:_files",)))
    assert found.name == "files"
    with pytest.raises(ConfigError, match="expected OWNER/NAME"):
        open_channels(around(tmp_path, {"GITHUB_TOKEN": "t"}, channels=("github",), repository="mirage"))
    for channels, options, message in [
        (("mail",), {}, "mail.host is missing"),
        (("mail",), {"mail.host": "h", "mail.from": "nobody", "mail.to": "x"}, "'nobody' is no address"),
        (("webhook",), {"webhook.url": "file:///etc/passwd"}, "no address of the web"),
        (("pigeon",), {}, "there is no 'pigeon'; there are files, github, mail, webhook"),
    ]:
        with pytest.raises(ConfigError, match=message):
            open_channels(around(tmp_path, {"GITHUB_TOKEN": "t"}, channels=channels, options=options))
