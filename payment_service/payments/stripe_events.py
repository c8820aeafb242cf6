"""Which events Stripe's webhook endpoint is to be sent (`enabled_events`).

Stripe has more to tell of every sale: those would each cost a request and a commit, and change
nothing. https://docs.stripe.com/webhooks#only-listen-to-the-event-types-your-integration-requires
"""

ENABLED_EVENTS = (
    "payment_intent.amount_capturable_updated",
    "payment_intent.canceled",
    "payment_intent.payment_failed",
    "payment_intent.processing",
    "payment_intent.requires_action",
    "payment_intent.succeeded",
    "refund.created",
    "refund.failed",
    "refund.updated",
    "charge.refund.updated",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
)
