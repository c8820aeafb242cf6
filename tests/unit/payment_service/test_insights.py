"""The figures of an event."""

from payment_service.insights.domain import DayRow, Insights, Sales, TicketTypeRow, by_day, total


def test_total_is_the_sum_of_the_ticket_types() -> None:
    rows = (
        TicketTypeRow("tt_1", "Stalls", Sales(2, 10_000), 8, 1),
        TicketTypeRow("tt_2", "Balcony", Sales(1, 2_050), 9, 0),
    )
    assert Insights("evt_1", "EUR", rows, ()).total == Sales(3, 12_050)
    assert total([]) == Sales(0, 0)


def test_days_are_those_on_which_something_was_sold_or_somebody_came_oldest_first() -> None:
    sales = {"2026-05-02": Sales(1, 50), "2026-04-30": Sales(2, 100)}
    assert by_day(sales, {"2026-05-02": 1, "2026-05-10": 3}) == (
        DayRow("2026-04-30", Sales(2, 100), 0),
        DayRow("2026-05-02", Sales(1, 50), 1),
        DayRow("2026-05-10", Sales(), 3),
    )
