"""NotificationService: proto to operation to proto."""

from typing import Any

import grpc.aio
from google.api import httpbody_pb2
from tessera.notification.v1 import (
    notification_pb2,
    notification_service_pb2,
    notification_service_pb2_grpc,
)

from kit import auth
from kit.clock import to_timestamp
from kit.database import Database
from kit.idempotency import Once
from notification_service.mailing.previews import Previews
from notification_service.notifications import operations
from notification_service.notifications.domain import Kind, Notification

Context = grpc.aio.ServicerContext[Any, Any]


class Notifications(notification_service_pb2_grpc.NotificationServiceServicer):
    """The RPCs of the log of mails."""

    def __init__(self, database: Database, previews: Previews) -> None:
        self._database = database
        self._previews = previews

    async def ListNotifications(
        self, request: notification_service_pb2.ListNotificationsRequest, _context: Context
    ) -> notification_service_pb2.ListNotificationsResponse:
        state = notification_pb2.NotificationState.Name(request.state)
        found, token = await operations.list_notifications(
            self._database,
            auth.current().organizer_id,
            order_id=request.order_id,
            waitlist_entry_id=request.waitlist_entry_id,
            state=state.removeprefix("NOTIFICATION_STATE_") if request.state else "",
            page_size=request.page_size,
            page_token=request.page_token,
        )
        return notification_service_pb2.ListNotificationsResponse(
            notifications=[notification_proto(each) for each in found], next_page_token=token
        )

    async def PreviewNotification(
        self, request: notification_service_pb2.PreviewNotificationRequest, _context: Context
    ) -> httpbody_pb2.HttpBody:
        kind = notification_pb2.NotificationKind.Name(request.kind)
        shown = await self._previews.show(
            auth.current(),
            request.event_id,
            Kind(kind.removeprefix("NOTIFICATION_KIND_")),
            plain_text=request.plain_text,
        )
        media_type = "text/plain" if request.plain_text else "text/html"
        return httpbody_pb2.HttpBody(
            content_type=f"{media_type}; charset=utf-8", data=shown.encode(errors="replace")
        )

    async def ResendNotification(
        self, request: notification_service_pb2.ResendNotificationRequest, _context: Context
    ) -> notification_pb2.Notification:
        queued = await operations.resend_notification(
            self._database,
            auth.current(),
            request.notification_id,
            Once(request, notification_proto),
        )
        return notification_proto(queued)


def notification_proto(notification: Notification) -> notification_pb2.Notification:
    """A notification as the contract shows it."""
    return notification_pb2.Notification(
        id=notification.id,
        organizer_id=notification.organizer_id,
        order_id=notification.order_id,
        waitlist_entry_id=notification.waitlist_entry_id,
        kind=notification_pb2.NotificationKind.Value(f"NOTIFICATION_KIND_{notification.kind}"),
        state=notification_pb2.NotificationState.Value(f"NOTIFICATION_STATE_{notification.state}"),
        recipient=notification.recipient,
        subject=notification.subject,
        attempts=notification.attempts,
        last_error=notification.last_error,
        created_at=to_timestamp(notification.created_at),
        next_attempt_at=to_timestamp(notification.next_attempt_at),
        sent_at=to_timestamp(notification.sent_at),
    )
