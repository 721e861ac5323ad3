"""The process that sends one message: by mail, to a webhook, or into a file. Run as ``python -m``, request on stdin.

The one rule: it uses the standard library alone and knows nothing of the backend, which can kill it at any time: a
name server, a mail server or a disk that never answers holds up nobody else. Exit status: 0 sent, 1 may pass, 2 never.
"""

from __future__ import annotations

import json
import os
import smtplib
import ssl
import sys
import urllib.error
import urllib.request
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from http.client import HTTPException
from typing import IO, Any

SENT, MAY_PASS, NEVER_PASSES = 0, 1, 2

_TIMEOUT_S = 20.0
_PASSING_STATUSES = (408, 425, 429)
_LONGEST_ANSWER = 300

Facts = dict[str, Any]  # JSON


class Undeliverable(Exception):
    """Trying again would not help; the text says why."""


def main() -> int:
    """Send the message that standard input holds; returns the exit status, and says what went wrong on stderr."""
    request: Facts = json.load(sys.stdin)
    try:
        send(request)
    except Undeliverable as error:
        return _report(NEVER_PASSES, error)
    except (OSError, smtplib.SMTPException, HTTPException, ssl.SSLError) as error:
        return _report(MAY_PASS, error)
    return SENT


def send(request: Facts) -> None:
    """Send ``message`` to ``target`` by ``kind``; mails through the server of ``mail``.

    Raises:
        Undeliverable: the recipient refused it for good, or cannot be one.
        OSError: nobody could be reached; it may be tried again. Likewise SMTPException and HTTPException.
    """
    kind, target, message = request["kind"], request["target"], request["message"]
    if kind == "webhook":
        post(target, message)
    elif kind == "file":
        append(target, message)
    else:
        send_mail(target, message, request["mail"])


def post(url: str, message: Facts) -> None:
    """Post the message as JSON. ``text`` is escaped as Slack asks, so that no error message can call a channel."""
    text = f"{message['subject']}\n{message['text']}"
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(character, entity)
    body = json.dumps({**message, "text": text}).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "hydraflyte"}
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        with opener.open(request, timeout=_TIMEOUT_S) as response:
            response.read(_LONGEST_ANSWER)
    except urllib.error.HTTPError as error:
        with error:
            _refused(error.code, error.read(_LONGEST_ANSWER).decode(errors="replace"))
    except (ValueError, UnicodeError) as error:  # a host name that is none
        raise Undeliverable(f"{type(error).__name__}: {error}") from error


def append(path: str, message: Facts) -> None:
    """Append the message as one line, in one write."""
    line = (json.dumps(message, ensure_ascii=False) + "\n").encode()
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        written = os.write(descriptor, line)
    finally:
        os.close(descriptor)
    if written != len(line):
        raise OSError(f"only {written} of {len(line)} bytes fit into {path}")


def send_mail(target: str, message: Facts, mail: Facts) -> None:
    """Hand the mail in. A refusal with a code from 500 is for good, other trouble may pass."""
    letter = compose(target, message, mail["sender"])
    try:
        with _connection(mail) as server:
            server.send_message(letter, from_addr=mail["sender"], to_addrs=[target])
    except smtplib.SMTPRecipientsRefused as error:
        for code, text in error.recipients.values():
            _refused_mail(code, text, error)
    except smtplib.SMTPAuthenticationError:
        raise  # the password may be corrected meanwhile
    except smtplib.SMTPResponseException as error:
        _refused_mail(error.smtp_code, error.smtp_error, error)
    except (smtplib.SMTPNotSupportedError, ValueError) as error:
        raise Undeliverable(str(error)) from error


def compose(target: str, message: Facts, sender: str) -> EmailMessage:
    """Return the mail; a recipient that is not one plain address is refused, so that no header can be added.

    Raises:
        Undeliverable: an address is none.
    """
    letter = EmailMessage()
    try:
        letter["From"] = Address(addr_spec=sender)
        letter["To"] = Address(addr_spec=target)
        letter["Subject"] = " ".join(message["subject"].split())
    except (ValueError, IndexError, MessageError) as error:
        raise Undeliverable(f"{target!r} or the sender {sender!r} is no mail address: {error}") from error
    letter["Message-ID"] = f"<{message['id']}@hydraflyte>"
    letter["Auto-Submitted"] = "auto-generated"
    letter.set_content(message["text"])
    return letter


def _connection(mail: Facts) -> smtplib.SMTP:
    host, port = mail["host"], mail["port"]
    if mail["security"] == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=_TIMEOUT_S, context=ssl.create_default_context())
    else:
        server = smtplib.SMTP(host, port, timeout=_TIMEOUT_S)
        if mail["security"] == "starttls":
            server.starttls(context=ssl.create_default_context())
    if mail["username"]:
        server.login(mail["username"], mail["password"])
    return server


def _refused(status: int, answer: str) -> None:
    text = f"HTTP {status}: {' '.join(answer.split())}"
    if 300 <= status < 400:
        raise Undeliverable(f"HTTP {status}: redirects are not followed; give the address that it leads to")
    if status >= 500 or status in _PASSING_STATUSES:
        raise OSError(text)
    raise Undeliverable(text)


def _refused_mail(code: int, text: bytes | str, error: Exception) -> None:
    told = text.decode(errors="replace") if isinstance(text, bytes) else text
    if code >= 500:
        raise Undeliverable(f"the mail server refused it: {code} {told}") from error
    raise error


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A webhook that redirects could lead the message anywhere."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> None:  # headers: an email.message.Message by typeshed, an HTTPMessage in truth
        return None


def _report(status: int, error: Exception) -> int:
    sys.stderr.write(f"{error}\n" if str(error) else f"{type(error).__name__}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
