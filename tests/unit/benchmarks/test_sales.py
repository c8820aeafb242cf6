"""How the sales measures tell what was sold, and a promise that was broken."""

import asyncio
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.load import Load
from benchmarks.sales.arrivals import Arrival, Arrivals
from benchmarks.sales.book import Sold
from benchmarks.sales.finding import Use, broken_promises, percentile
from benchmarks.sales.mails import mails_per_s, sold_per_s
from benchmarks.sales.paid import per_s
from benchmarks.sales.selling import Sale
from benchmarks.sales.sink import Session
from benchmarks.sales.steady import payment_to_mail_s


def load(**changes: Any) -> Load:
    """Ten seconds of selling, from the hundredth on."""
    return Load({"started_s": 100.0, "duration_s": 10.0, "errors": {}, **changes}, 0.1, 0.1)


SALE = Sale(
    "sale-1-",
    load(),
    [
        Sold("sale-1-1@customer.example", 101.0, 102.0),
        Sold("sale-1-2@customer.example", 104.0, 105.0),
        Sold("sale-1-3@customer.example", 108.0, 112.0),
    ],
    mails_at_end=1,
)
MAILS = [Arrival(each.opened_at_s + 10, each.email, has_pdf=True) for each in SALE.sold]


def test_only_what_is_paid_within_the_time_counts() -> None:
    assert per_s(SALE) == 0.2
    assert SALE.paid == 3


def test_an_order_waits_from_its_opening_to_its_payment() -> None:
    assert [SALE.waiting_at(moment_s) for moment_s in (100, 101, 102, 104.5, SALE.ended_s)] == [
        0,
        1,
        0,
        1,
        1,
    ]


def test_an_order_that_is_never_paid_waits_for_ever() -> None:
    lost = replace(SALE, sold=[Sold("sale-1-1@customer.example", 101.0, None)])
    assert lost.waiting_at(1000) == 1
    assert lost.order_to_paid_s == []


def test_a_sale_whose_every_mail_came_once_breaks_no_promise() -> None:
    assert broken_promises("paid", SALE, MAILS) == {}


@pytest.mark.parametrize(
    ("mails", "broken"),
    [
        (MAILS[:2], {"paid orders have no mail with their tickets": 1}),
        ([*MAILS, MAILS[0]], {"mails came twice": 1}),
        (
            [replace(MAILS[0], has_pdf=False), *MAILS[1:]],
            {
                "paid orders have no mail with their tickets": 1,
                "mails came without tickets": 1,
            },
        ),
        (
            [*MAILS, Arrival(120, "sale-1-9@customer.example", has_pdf=True)],
            {"mails came for orders that are not paid": 1},
        ),
    ],
)
def test_mails_that_are_missing_or_too_many_are_wrong(
    mails: Sequence[Arrival], broken: dict[str, int]
) -> None:
    found = broken_promises("paid", SALE, mails)
    assert found == {f"paid: {what}": count for what, count in broken.items()}


def test_orders_that_failed_or_were_not_paid_are_wrong() -> None:
    sold = [Sold("sale-1-1@customer.example", 101.0, None)]
    sale = replace(SALE, found=load(errors={"hold: 503": 2}), sold=sold)
    assert broken_promises("paid", sale, []) == {
        "paid: hold: 503": 2,
        "paid: orders were not paid": 1,
    }


def test_a_mail_is_as_late_as_it_comes_after_the_payment() -> None:
    arrived = {MAILS[0].recipient: 102.5, MAILS[1].recipient: 105.25}
    assert payment_to_mail_s(SALE, arrived) == [0.25, 0.5]


def test_speeds_are_from_the_first_to_the_last() -> None:
    assert mails_per_s([replace(MAILS[0], at_s=at_s) for at_s in (10, 10.5, 11)]) == 2.0
    assert mails_per_s(MAILS[:1]) == 0.0
    assert sold_per_s(SALE) == round(3 / 11, 1)


def test_a_percentile_is_one_of_the_numbers() -> None:
    assert percentile([], 99) is None
    assert percentile([7.0], 99) == 7.0
    assert percentile([float(number) for number in range(100)], 99) == 99.0
    assert percentile([float(number) for number in range(1000)], 50) == 500.0


def test_cpu_time_is_told_for_each_sale_and_part() -> None:
    use = Use("paid", 4, 2.0, {"gateway": 0.2, "postgres": 0.1, "stripe_sandbox": 0.04}, 0.02)
    ms = use.ms()
    assert (ms["gateway"], ms["postgres"], ms["sandbox"], ms["generator"]) == (50, 25, 10, 5)
    assert ms["mesh"] == 75  # without those who play Stripe and the customers
    assert use.row()["cores"] == 0.18


def test_arrivals_are_read_as_they_come(tmp_path: Path) -> None:
    file = tmp_path / "mails.txt"
    arrivals = Arrivals(file)
    assert arrivals.to("") == []
    file.write_text("1.5 a@x 1\n2.5 b@x 0\n3.")
    assert arrivals.to("") == [
        Arrival(1.5, "a@x", has_pdf=True),
        Arrival(2.5, "b@x", has_pdf=False),
    ]
    with file.open("a") as more:
        more.write("5 a@y 1\n")
    assert arrivals.to("a") == [
        Arrival(1.5, "a@x", has_pdf=True),
        Arrival(3.5, "a@y", has_pdf=True),
    ]


class Wire(asyncio.Transport):
    """The client's end: keeps what is replied."""

    def __init__(self) -> None:
        super().__init__()
        self.replied = b""
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.replied += data

    def close(self) -> None:
        self.is_closed = True


TALK = (
    b"EHLO tessera\r\nMAIL FROM:<tickets@tessera.example>\r\nRCPT TO:<ada@x.example>\r\nDATA\r\n"
    b"Subject: Hi\r\n\r\nContent-Type: application/pdf\r\n.. a dot\r\n.\r\n"
    b"MAIL FROM:<tickets@tessera.example>\r\nRCPT TO:<bob@x.example>\r\nDATA\r\nHi\r\n.\r\nQUIT\r\n"
)


@pytest.mark.parametrize("size", [1, 3, 7, 64, len(TALK)])
def test_the_mail_server_notes_every_mail_however_it_arrives(size: int) -> None:
    file, wire = io.StringIO(), Wire()
    session = Session(file)
    session.connection_made(wire)
    for start in range(0, len(TALK), size):
        session.data_received(TALK[start : start + size])

    noted = [line.split()[1:] for line in file.getvalue().splitlines()]
    assert noted == [["ada@x.example", "1"], ["bob@x.example", "0"]]
    codes = [line[:4] for line in wire.replied.splitlines()]
    assert codes == [
        *(b"220 ", b"250-", b"250-", b"250-", b"250 ", b"250 ", b"250 ", b"354 ", b"250 "),
        *(b"250 ", b"250 ", b"354 ", b"250 ", b"221 "),
    ]
    assert wire.is_closed
