"""The mail sink: keeps what it accepts, and fails on command."""

import asyncio
import mailbox
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path

import aiosmtplib
import pytest

from deploy.local import smtp_sink
from deploy.local.smtp_sink import Moment, SmtpSink

RECIPIENT = "guest@example.org"


@pytest.fixture
async def sink(tmp_path: Path) -> AsyncIterator[SmtpSink]:
    async with await smtp_sink.start(tmp_path / "mail") as sink:
        yield sink


def mail(subject: str = "Your tickets") -> EmailMessage:
    message = EmailMessage()
    message["From"] = "tickets@example.com"
    message["To"] = RECIPIENT
    message["Subject"] = subject
    message.set_content(".starts with a dot\nGrüße\n")
    message.add_attachment(
        b"%PDF-\r\n\x00", maintype="application", subtype="pdf", filename="t.pdf"
    )
    return message


async def send(sink: SmtpSink, message: EmailMessage, recipients: list[str] | None = None) -> str:
    _, answer = await aiosmtplib.send(
        message,
        hostname="127.0.0.1",
        port=sink.port,
        recipients=recipients or [RECIPIENT],
        timeout=10,
    )
    return answer


async def test_a_mail_is_kept_whole_with_its_envelope(sink: SmtpSink) -> None:
    recipients = [RECIPIENT, "hidden@example.org"]
    await send(sink, mail(), recipients)
    [kept] = sink.messages()
    assert kept["Return-Path"] == "<tickets@example.com>"
    assert kept.get_all("Delivered-To") == recipients
    assert kept["Subject"] == "Your tickets"
    body = kept.get_body()
    assert body
    assert body.get_content() == ".starts with a dot\nGrüße\n"
    [pdf] = kept.iter_attachments()
    assert pdf.get_content() == b"%PDF-\r\n\x00"


async def test_any_mail_program_can_read_the_folder(sink: SmtpSink, tmp_path: Path) -> None:
    await send(sink, mail("first"))
    await send(sink, mail("second"))
    folder = mailbox.Maildir(tmp_path / "mail", create=False)
    assert sorted(message["Subject"] for message in folder) == ["first", "second"]


async def test_mail_outlives_the_sink_and_comes_in_order(tmp_path: Path) -> None:
    for subject in ("first", "second", "third"):
        async with await smtp_sink.start(tmp_path) as sink:
            await send(sink, mail(subject))
    assert [kept["Subject"] for kept in sink.messages()] == ["first", "second", "third"]


async def test_the_url_says_where_it_listens(sink: SmtpSink) -> None:
    assert sink.url == f"smtp://127.0.0.1:{sink.port}"


@pytest.mark.parametrize(
    ("at", "error"),
    [
        ("MAIL", aiosmtplib.SMTPSenderRefused),
        ("RCPT", aiosmtplib.SMTPRecipientsRefused),
        ("DATA", aiosmtplib.SMTPDataError),
    ],
)
@pytest.mark.parametrize("code", [451, 550])
async def test_it_refuses_on_command_and_keeps_nothing(
    sink: SmtpSink, at: Moment, error: type[Exception], code: int
) -> None:
    sink.refuse(code, "Not today", at=at)
    with pytest.raises(error, match=f"{code}.*Not today"):
        await send(sink, mail())
    assert sink.messages() == []
    sink.accept()
    await send(sink, mail())
    assert len(sink.messages()) == 1


async def test_it_can_keep_a_mail_and_deny_it(sink: SmtpSink) -> None:
    sink.refuse(451, "Lost my thread", at="STORED")
    with pytest.raises(aiosmtplib.SMTPDataError):
        await send(sink, mail())
    assert len(sink.messages()) == 1


@pytest.mark.parametrize("at", ["MAIL", "RCPT", "DATA", "STORED"])
async def test_a_hanging_answer_comes_once_it_accepts_again(sink: SmtpSink, at: Moment) -> None:
    sink.hang(at=at)
    sending = asyncio.ensure_future(send(sink, mail()))
    done, _ = await asyncio.wait([sending], timeout=0.2)
    assert not done
    sink.accept()
    await sending
    assert len(sink.messages()) == 1


async def test_stopping_cuts_who_waits_for_an_answer(tmp_path: Path) -> None:
    sink = await smtp_sink.start(tmp_path)
    sink.hang(at="MAIL")
    client = aiosmtplib.SMTP(hostname="127.0.0.1", port=sink.port, timeout=10)
    await client.connect()
    waiting = asyncio.ensure_future(client.mail("tickets@example.com"))
    await asyncio.sleep(0)
    await sink.stop()
    with pytest.raises(aiosmtplib.SMTPServerDisconnected):
        await waiting
    client.close()


async def test_a_mail_of_more_than_25_mebibytes_is_refused(sink: SmtpSink) -> None:
    message = EmailMessage()
    message["From"] = "tickets@example.com"
    message.set_content("x" * 70 + "\n")
    message.set_payload(("x" * 70 + "\n") * (26 * 1024 * 1024 // 71))
    with pytest.raises(aiosmtplib.SMTPResponseException, match="552"):
        await send(sink, message)
    assert sink.messages() == []
