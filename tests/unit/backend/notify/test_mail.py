"""Where mails are handed in: the file, the environment, and what is wrong with them."""

import pytest

from hydraflyte.backend.notify.mail import MailSecurity, MailSettings, read_mail_settings
from hydraflyte.errors import NotificationError


def test_without_a_server_the_hint_names_the_file(tmp_path):
    with pytest.raises(NotificationError) as missing:
        read_mail_settings(tmp_path / "smtp.yaml", {})

    assert missing.value.message == "No mail server is set."
    assert str(tmp_path / "smtp.yaml") in missing.value.hint


def test_the_file_says_where_mails_go(tmp_path):
    file = tmp_path / "smtp.yaml"
    file.write_text("host: smtp.example.org\nusername: ada@example.org\npassword: 0123\n")

    assert read_mail_settings(file, {}) == MailSettings(
        host="smtp.example.org",
        port=587,
        security=MailSecurity.STARTTLS,
        username="ada@example.org",
        password="83",  # YAML reads 0123 as an octal number: a password of digits needs quotes
        sender="ada@example.org",
    )


def test_the_environment_goes_before_the_file(tmp_path):
    file = tmp_path / "smtp.yaml"
    file.write_text("host: smtp.example.org\nsecurity: tls\n")

    found = read_mail_settings(file, {"HYDRAFLYTE_SMTP_HOST": "mail", "HYDRAFLYTE_SMTP_SENDER": "me@mail"})

    assert (found.host, found.port, found.sender) == ("mail", 465, "me@mail")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("host: x\nport: many\n", "port is 'many'"),
        ("host: x\nport: 70000\n", "port is '70000'"),
        ("host: x\nsecurity: some\n", "it may be starttls, tls, none"),
        ("host: x\nhots: y\n", "keys that mean nothing: hots"),
        ("- host\n", "it holds no keys"),
        ("host: [\n", "expected the node content"),
    ],
)
def test_settings_that_cannot_be_used_are_told_with_the_reason(tmp_path, text, reason):
    file = tmp_path / "smtp.yaml"
    file.write_text(text)

    with pytest.raises(NotificationError) as refused:
        read_mail_settings(file, {})

    assert reason in refused.value.message
