"""Where findings are said beside GitHub: Markdown files, e-mail, a webhook; and how a channel is chosen by its name.

A channel is anything with the form of `report.Channel`. A name of the configuration is one of `CHANNELS`, or
``module:function`` of a plug-in; the function is called as the ones here are, with an `Around`.

Mail and webhooks cannot be looked at afterwards, so after a crash in the one moment between sending and saving a
message goes out again. It then bears the same identity (`Message-ID`, `Idempotency-Key`), by which receivers know it.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib
import json
import os
import smtplib
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path

from . import wording
from .config import Reporting
from .errors import ConfigError, Postponed, Refused
from .form import to_json
from .markdown import line
from .report import Channel, Event, Message

__all__ = ["CHANNELS", "Around", "FilesChannel", "MailChannel", "WebhookChannel", "open_channels"]


@dataclass(frozen=True, slots=True)
class Around:
    """What a channel may use of the world around it."""

    settings: Reporting
    folder: Path
    """Where files may be written."""
    environment: Mapping[str, str]
    """Secrets come from here, never from a file of the tree."""
    clock: Callable[[], float]
    """Seconds since 1970."""
    sleep: Callable[[float], None]

    def option(self, name: str, default: str | None = None) -> str:
        """An option of the configuration. Raises `ConfigError` where it is needed and absent."""
        value = self.settings.options.get(name, default)
        if value is None:
            raise ConfigError(f"config.toml: reporting.options: {name} is missing")
        return value


class FilesChannel:
    """One Markdown file a finding, ``KEY.md``: the issue's text, then every comment under the night that made it."""

    name = "files"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def deliver(self, message: Message, number: int) -> int:
        """Write the file anew; comments that are there already stay, and are not repeated."""
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / f"{message.finding.key}.md"
        old = file.read_text("utf-8") if file.exists() else ""
        comments = old.partition(_COMMENTS)[2]
        mark = wording.comment_mark(message.event.value, message.night)
        if message.comment and mark not in comments:
            comments += (
                f"\n## {message.event.value.capitalize()}, {wording.day(message.when)}\n\n{mark}\n{message.comment}\n"
            )
        first, _, rest = message.body.partition("\n")
        text = f"{first}\n# {message.title}\n{rest}{_COMMENTS if comments else ''}{comments}"
        scratch = file.with_suffix(".new")
        scratch.write_text(text, "utf-8")
        os.replace(scratch, file)  # a crash leaves the old text or the new one
        return 0


_COMMENTS = "\n<!-- comments -->\n"


class MailChannel:
    """E-mail over SMTP: one thread a finding. What is merely seen again is not sent."""

    name = "mail"

    def __init__(
        self, host: str, port: int, sender: str, recipients: tuple[str, ...], *, user: str = "", password: str = "",
        tls: bool = True, timeout: float = 30.0,
    ) -> None:  # fmt: skip
        self._host, self._port, self._timeout = host, port, timeout
        self._sender, self._recipients = sender, recipients
        self._user, self._password, self._tls = user, password, tls
        try:
            self._domain = Address(addr_spec=sender).domain
        except ValueError as error:
            raise ConfigError(f"config.toml: reporting.options: mail.from: {sender!r} is no address") from error

    def deliver(self, message: Message, number: int) -> int:
        """Send one mail."""
        if not message.event.told:
            return 0
        try:
            with smtplib.SMTP(self._host, self._port, timeout=self._timeout) as server:
                if self._tls:
                    server.starttls()
                if self._user:
                    server.login(self._user, self._password)
                server.send_message(self.compose(message))
        except smtplib.SMTPResponseException as error:
            answer = f"{error.smtp_code} {line(_text(error.smtp_error))}"
            if error.smtp_code < 500:  # RFC 5321 4.2.1: a transient failure
                raise Postponed(f"the mail server asks to be tried later: {answer}") from error
            raise Refused(f"the mail server refuses: {answer}") from error
        except smtplib.SMTPRecipientsRefused as error:
            codes = {code for code, _ in error.recipients.values()}
            kind = Postponed if all(code < 500 for code in codes) else Refused
            raise kind(f"the mail server does not take {', '.join(error.recipients)}") from error
        except smtplib.SMTPNotSupportedError as error:
            raise Refused(f"the mail server cannot do what is asked of it: {error}") from error
        except (OSError, smtplib.SMTPException) as error:
            raise Postponed(f"the mail server at {self._host} cannot be reached: {line(str(error))}") from error
        return 0

    def compose(self, message: Message) -> EmailMessage:
        """The mail. Equal messages give equal mails."""
        mail = EmailMessage(policy=SMTP)
        mail["Message-ID"] = f"<{message.identity}@{self._domain}>"
        root = f"<{message.finding.key}@{self._domain}>"  # nobody has to have it: it joins what refers to it
        mail["References"] = root
        mail["From"], mail["To"] = self._sender, ", ".join(self._recipients)
        mail["Date"] = format_datetime(datetime.fromtimestamp(message.when, UTC))
        prefix = "" if message.event is Event.OPENED else "Re: "
        mail["Subject"] = f"{prefix}[is_broken] {message.title}"
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office notice comes back
        text = message.body.partition("\n")[2].lstrip()
        mail.set_content(f"{message.comment}\n\n{text}" if message.comment else text)
        return mail


class WebhookChannel:
    """A POST of JSON to an address. With a secret its HMAC-SHA256 goes along, so that the receiver can trust it."""

    name = "webhook"

    def __init__(self, url: str, secret: str = "", timeout: float = 30.0) -> None:
        self._url, self._secret, self._timeout = url, secret, timeout
        if not url.startswith(("https://", "http://")):
            raise ConfigError(f"config.toml: reporting.options: webhook.url: {url!r} is no address of the web")

    def deliver(self, message: Message, number: int) -> int:
        """Send one message."""
        if not message.event.told:
            return 0
        value = {
            "event": message.event.value,
            "night": message.night,
            "title": message.title,
            "text": message.comment or message.body.partition("\n")[2].lstrip(),
            "finding": to_json(message.finding),
        }
        body = json.dumps(value).encode()
        fields = {"Content-Type": "application/json", "Idempotency-Key": message.identity, "User-Agent": "is_broken"}
        if self._secret:
            signature = hmac.new(self._secret.encode(), body, hashlib.sha256).hexdigest()
            fields["X-Is-Broken-Signature"] = f"sha256={signature}"
        request = urllib.request.Request(self._url, body, fields, method="POST")  # checked above
        try:
            with _WITHOUT_REDIRECTS.open(request, timeout=self._timeout) as answer:
                answer.read(1024)
        except urllib.error.HTTPError as error:
            with error:
                if error.code in {408, 425, 429} or error.code >= 500:
                    raise Postponed(f"the webhook answers {error.code}") from error
                raise Refused(f"the webhook answers {error.code}") from error
        except (OSError, ValueError) as error:
            raise Postponed(f"the webhook cannot be reached: {line(str(error))}") from error
        return 0


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object) -> None:
        """Follow nowhere: a redirected POST would lose its body, or leave for another host."""


_WITHOUT_REDIRECTS = urllib.request.build_opener(_NoRedirects)


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _files(around: Around) -> Channel:
    return FilesChannel(around.folder)


def _github(around: Around) -> Channel:
    settings = around.settings
    token = around.environment.get(settings.token, "")
    if not token or not settings.repository:
        return FilesChannel(around.folder)
    if settings.repository.count("/") != 1:
        raise ConfigError(f"config.toml: reporting.repository: expected OWNER/NAME, found {settings.repository!r}")
    from .github_channel import connect

    return connect(settings.repository, token, settings.api, around.clock, around.sleep)


def _mail(around: Around) -> Channel:
    return MailChannel(
        around.option("mail.host"),
        int(around.option("mail.port", "587")),
        around.option("mail.from"),
        tuple(word.strip() for word in around.option("mail.to").split(",")),
        user=around.option("mail.user", ""),
        password=around.environment.get("IS_BROKEN_MAIL_PASSWORD", ""),
        tls=around.option("mail.tls", "yes") == "yes",
    )


def _webhook(around: Around) -> Channel:
    return WebhookChannel(around.option("webhook.url"), around.environment.get("IS_BROKEN_WEBHOOK_SECRET", ""))


CHANNELS: dict[str, Callable[[Around], Channel]] = {
    "files": _files,
    "github": _github,
    "mail": _mail,
    "webhook": _webhook,
}
"""What makes each channel."""


def open_channels(around: Around) -> list[Channel]:
    """The channels of the configuration, each once. Raises `ConfigError`."""
    made: dict[str, Channel] = {}
    for name in around.settings.channels:
        channel = _maker(name)(around)
        made.setdefault(channel.name, channel)  # github without a token is files, which may be there already
    return list(made.values())


def _maker(name: str) -> Callable[[Around], Channel]:
    if name in CHANNELS:
        return CHANNELS[name]
    module, _, function = name.partition(":")
    try:
        maker: Callable[[Around], Channel] = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        known = ", ".join(CHANNELS)
        raise ConfigError(f"config.toml: reporting.channels: there is no {name!r}; there are {known}") from error
    return maker
