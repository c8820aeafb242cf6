"""Every SQL statement that is about an order and what pays for it at once."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from google.protobuf.message import Message
from sqlalchemy import (
    CTE,
    Boolean,
    ColumnElement,
    Select,
    Text,
    and_,
    bindparam,
    case,
    exists,
    func,
    null,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.types import Interval

from kit import outbox
from kit.database import Transaction as DatabaseTransaction
from payment_service.ledger import store as ledger
from payment_service.ledger.domain import Transaction
from payment_service.orders.domain import Fulfilment, Order, OrderState
from payment_service.orders.store import At, Claim
from payment_service.payments.domain import Payment, PaymentState
from payment_service.payments.store import OPEN
from payment_service.tables import orders, payments


async def take_order(tx: DatabaseTransaction, payment: Payment, lease: timedelta) -> Claim:
    """Store that a locked payment has money, and claim its locked order to issue the tickets."""
    values = {
        "taking_id": payment.id,
        "taking_state": payment.state,
        "taking_provider_id": payment.provider_id,
        "taking_secret": payment.client_secret,
        "taking_status": payment.provider_status,
        "taking_decline_code": payment.decline_code,
        "taken_id": payment.order_id,
        "lease": lease,
    }
    return Claim(*(await tx.execute(_TAKE_ORDER, values)).one())


async def finish_sale(
    at: At,
    order: Order,
    payment: Payment | None,
    claim: Claim,
    booked: Sequence[Transaction],
    announced: Message,
) -> bool | None:
    """An order that waits for it is paid, by a payment that is open: stored, booked and announced.

    Answers whether nothing is left to be done for it: no other attempt, and no fee that is not
    known yet. None: it did not wait any more, and nothing was done.
    """
    values = {
        **ledger.book_values(booked),
        **outbox.add_values(announced),
        "sold_id": order.id,
        "claimed": claim.until,
        "kept_id": payment.id if payment else None,
    }
    if payment is None:
        rows = await at.execute(_FINISH_FREE, values)
    else:
        values["kept_state"] = payment.state
        values["kept_status"] = payment.provider_status
        values["kept_decline_code"] = payment.decline_code
        values["kept_fee_booked"] = payment.fee_booked
        rows = await at.execute(_FINISH, values)
    return next((bool(row[0]) for row in rows), None)


_TAKE_ORDER = (
    update(orders)
    .where(orders.c.id == bindparam("taken_id"))
    .values(
        next_attempt_at=func.now() + bindparam("lease", type_=Interval()),
        attempts=orders.c.attempts + 1,
        is_left_over=False,
        fulfilment=Fulfilment.ISSUING,
    )
    .returning(orders.c.id, orders.c.attempts, orders.c.next_attempt_at)
    .add_cte(
        update(payments)
        .where(payments.c.id == bindparam("taking_id"))
        .values(
            state=bindparam("taking_state", type_=Text),
            provider_id=bindparam("taking_provider_id", type_=Text),
            client_secret=bindparam("taking_secret", type_=Text),
            provider_status=bindparam("taking_status", type_=Text),
            decline_code=bindparam("taking_decline_code", type_=Text),
        )
        .cte("taking")
    )
)


def _sold(*conditions: ColumnElement[bool], is_all_done: ColumnElement[bool]) -> CTE:
    """The order, if it waits to be paid, paid; it is left alone if nothing else is to be done."""
    is_all = and_(orders.c.next_attempt_at == bindparam("claimed"), is_all_done)
    return (
        update(orders)
        .where(
            orders.c.id == bindparam("sold_id"),
            orders.c.state == OrderState.PENDING,
            *conditions,
        )
        .values(
            state=OrderState.PAID,
            fulfilment=Fulfilment.ISSUED,
            paid_at=func.now(),
            payment_id=_kept_id,
            next_attempt_at=case((is_all, null()), else_=orders.c.next_attempt_at),
            attempts=case((is_all, 0), else_=orders.c.attempts),
        )
        .returning(orders.c.next_attempt_at.is_(None).label("is_all_done"))
        .cte("sold")
    )


def _with_books(sold: CTE, *more: CTE) -> Select[Any]:
    is_sold = exists().select_from(sold)
    return select(sold.c.is_all_done).add_cte(
        *more, ledger.book_if(is_sold), outbox.add_when(is_sold)
    )


_kept_id = bindparam("kept_id", type_=Text)
_of_order = payments.c.order_id == bindparam("sold_id")
_other_is_left = exists().where(
    _of_order,
    payments.c.id != _kept_id,
    or_(
        payments.c.state.in_(OPEN),
        and_(payments.c.state == PaymentState.SUCCEEDED, ~payments.c.fee_booked),
    ),
)
_is_open = exists().where(_of_order, payments.c.id == _kept_id, payments.c.state.in_(OPEN))
_fee_booked = bindparam("kept_fee_booked", type_=Boolean)
_sold_for_money = _sold(_is_open, is_all_done=and_(_fee_booked, ~_other_is_left))
_FINISH_FREE = _with_books(_sold(is_all_done=true()))
_FINISH = _with_books(
    _sold_for_money,
    update(payments)
    .where(payments.c.id == _kept_id, exists().select_from(_sold_for_money))
    .values(
        state=bindparam("kept_state", type_=Text),
        provider_status=bindparam("kept_status", type_=Text),
        decline_code=bindparam("kept_decline_code", type_=Text),
        fee_booked=_fee_booked,
    )
    .cte("kept"),
)
