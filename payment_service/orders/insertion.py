"""Storing a new order with its lines and its first payment, in one statement."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    BindParameter,
    Boolean,
    DateTime,
    Integer,
    Text,
    bindparam,
    case,
    func,
    insert,
    literal,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.types import Interval

from payment_service.orders.domain import Order
from payment_service.orders.store import LINE, At
from payment_service.tables import order_lines, orders, payments


@dataclass(frozen=True, slots=True)
class Inserted:
    """When an order was stored, by the database's clock, and when it will be looked at."""

    created_at: datetime
    next_attempt_at: datetime


async def insert_order(
    at: At, order: Order, *, payment_id: str | None, lease: timedelta | None = None
) -> Inserted | None:
    """A new order with its lines and its first payment; None when its hold, key or code is taken.

    With a lease it is claimed for whoever stores it; otherwise its deadline is waited for.
    """
    values = {column.name: getattr(order, column.name, None) for column in _GIVEN}
    lines = order.lines
    rows = await at.execute(
        _INSERT,
        {
            **values,
            "customer_email": order.customer.email,
            "customer_name": order.customer.full_name,
            "customer_phone": order.customer.phone_number,
            "lease": lease,
            "payment_ids": [payment_id] if payment_id else [],
            "positions": list(range(len(lines))),
            "ticket_type_ids": [line.ticket_type_id for line in lines],
            "ticket_type_names": [line.ticket_type_name for line in lines],
            "quantities": [line.quantity for line in lines],
            "unit_prices": [line.unit_price_minor for line in lines],
            "amounts": [line.amount_minor for line in lines],
            "taxes": [line.tax_minor for line in lines],
            "discounts": [line.discount_minor for line in lines],
            "tax_ppms": [line.tax_ppm for line in lines],
            "taxes_included": [line.tax_included for line in lines],
        },
    )
    return next((Inserted(*row) for row in rows), None)


_lease = bindparam("lease", type_=Interval())


def _texts(name: str) -> BindParameter[Any]:
    return bindparam(name, type_=ARRAY(Text))


def _numbers(name: str) -> BindParameter[Any]:
    return bindparam(name, type_=ARRAY(BigInteger))


_LATER = {
    "cancel_reason",
    "created_at",
    "paid_at",
    "payment_id",
    "next_attempt_at",
    "attempts",
    "is_left_over",
}
_GIVEN = tuple(column for column in orders.c if column.name not in _LATER)
_made = (
    upsert(orders)
    .values(
        {
            **{column: bindparam(column.name, type_=column.type) for column in _GIVEN},
            orders.c.next_attempt_at: func.coalesce(
                func.now() + _lease, bindparam("expires_at", type_=DateTime(timezone=True))
            ),
            orders.c.attempts: case((_lease.is_(None), 0), else_=1),
        }
    )
    .on_conflict_do_nothing()
    .returning(orders.c.id, orders.c.created_at, orders.c.next_attempt_at)
    .cte("made")
)
_given_lines = (
    func.unnest(
        bindparam("positions", type_=ARRAY(Integer)),
        _texts("ticket_type_ids"),
        _texts("ticket_type_names"),
        bindparam("quantities", type_=ARRAY(Integer)),
        _numbers("unit_prices"),
        _numbers("amounts"),
        _numbers("taxes"),
        _numbers("discounts"),
        bindparam("tax_ppms", type_=ARRAY(Integer)),
        bindparam("taxes_included", type_=ARRAY(Boolean)),
    )
    .table_valued("position", *(column.name for column in LINE))
    .render_derived(name="given")
)
_event_id = bindparam("event_id", type_=Text)
_made_lines = (
    insert(order_lines)
    .from_select(
        ["order_id", "event_id", "position", *(column.name for column in LINE)],
        select(_made.c.id, _event_id, _given_lines).select_from(_made.join(_given_lines, true())),
    )
    .cte("made_lines")
)
_given_payments = (
    func.unnest(_texts("payment_ids")).table_valued("id").render_derived(name="given_payments")
)
_made_payments = (
    insert(payments)
    .from_select(
        ["id", "order_id", "event_id", "state", "currency_code", "amount_minor"],
        select(
            _given_payments.c.id,
            _made.c.id,
            _event_id,
            literal("CREATED"),
            bindparam("currency_code", type_=Text),
            bindparam("total_minor", type_=BigInteger),
        ).select_from(_made.join(_given_payments, true())),
    )
    .cte("made_payments")
)
_INSERT = select(_made.c.created_at, _made.c.next_attempt_at).add_cte(_made_lines, _made_payments)
