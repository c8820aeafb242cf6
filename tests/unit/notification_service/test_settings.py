"""What can be set, and what is said about settings that cannot be used."""

import pytest

from kit.settings import Environment, InvalidSetting
from notification_service.settings import Settings, SmtpServer


def settings(**variables: str) -> Settings:
    everything = {
        "SMTP_URL": "smtp://127.0.0.1:2525",
        "DATABASE_URL": "postgresql://localhost/tessera",
        **variables,
    }
    return Settings.read(
        Environment({f"TESSERA_{name}": each for name, each in everything.items()})
    )


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://mail.example.org", ("smtp", "mail.example.org", 25, "", "")),
        ("smtp://127.0.0.1:2525", ("smtp", "127.0.0.1", 2525, "", "")),
        ("smtp://[::1]:2525/", ("smtp", "::1", 2525, "", "")),
        ("smtps://u:p@mail.example.org", ("smtps", "mail.example.org", 465, "u", "p")),
        (
            "smtp+starttls://me%40example.org:p%2F%3A%40@mail.example.org",
            ("smtp+starttls", "mail.example.org", 587, "me@example.org", "p/:@"),
        ),
    ],
)
def test_a_mail_server_is_one_address(url: str, expected: tuple[str, str, int, str, str]) -> None:
    server = settings(SMTP_URL=url, MAIL_FROM="a@example.org").smtp

    assert expected == (
        server.scheme,
        server.host,
        server.port,
        server.username,
        server.password,
    )


@pytest.mark.parametrize(
    "url",
    [
        "mail.example.org:25",
        "http://mail.example.org",
        "smtp://",
        "smtp://user:hunter2@mail.example.org:99999",
        "smtp://user:hunter2@mail.example.org:x",
        "smtp://user:hunter2@mail.example.org/path",
        "smtp://user:hunter2@mail.example.org?tls=1",
        "smtp://user:hunter2@[::1",
    ],
)
def test_what_is_no_mail_server_is_refused_without_naming_its_password(url: str) -> None:
    with pytest.raises(InvalidSetting, match="TESSERA_SMTP_URL") as caught:
        settings(SMTP_URL=url)
    assert "hunter2" not in str(caught.value)


def test_a_mail_server_never_shows_its_password() -> None:
    assert "hunter2" not in repr(SmtpServer.parse("smtp://user:hunter2@mail.example.org"))


def test_the_sender_has_a_name_and_an_address() -> None:
    sender = settings(MAIL_FROM="Zoë's Nights <tickets@example.org>").sender

    assert (sender.display_name, sender.addr_spec) == ("Zoë's Nights", "tickets@example.org")


@pytest.mark.parametrize(
    "text",
    [
        "Tessera",
        "tickets@",
        "@example.org",
        "a@example.org, b@example.org",
        "Tessera <tickets@example.org",
        "Tessera <tickets@exämple.org>",
        "a b@example.org",
        "T\r\nBcc: x@example.org <tickets@example.org>",
    ],
)
def test_what_is_no_sender_is_refused(text: str) -> None:
    with pytest.raises(InvalidSetting, match="TESSERA_MAIL_FROM"):
        settings(MAIL_FROM=text)


def test_a_mail_server_on_this_machine_needs_no_sender() -> None:
    assert settings().sender.addr_spec == "tickets@localhost"


def test_any_other_mail_server_does() -> None:
    with pytest.raises(InvalidSetting, match="TESSERA_MAIL_FROM"):
        settings(SMTP_URL="smtps://mail.example.org")


def test_a_mail_server_is_needed() -> None:
    with pytest.raises(InvalidSetting, match="TESSERA_SMTP_URL"):
        settings(SMTP_URL="")


def test_a_storefront_is_the_address_of_any_holds_page() -> None:
    url = "https://tickets.example.org/holds/{hold_id}?from=mail"
    assert settings(STOREFRONT_URL=url).storefront_url == url
    assert settings().storefront_url == ""


@pytest.mark.parametrize(
    "text",
    [
        "tickets.example.org/{hold_id}",
        "https://tickets.example.org/holds",
        "https:///{hold_id}",
        "javascript:alert({hold_id})",
        "https://[broken/{hold_id}",
    ],
)
def test_what_is_no_page_of_a_hold_is_refused(text: str) -> None:
    with pytest.raises(InvalidSetting, match="TESSERA_STOREFRONT_URL"):
        settings(STOREFRONT_URL=text)
