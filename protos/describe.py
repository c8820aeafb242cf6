"""Writes `docs/messages.md` from the protos: what travels through RabbitMQ, field by field.

`--check` only says whether the file is up to date.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from tessera.payment.v1 import messages_pb2 as payment_messages
from tessera.ticket.v1 import messages_pb2 as ticket_messages

from gateway.comments import comments
from kit.broker import EXCHANGE
from kit.outbox import routing_key

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs" / "messages.md"
FILES = (payment_messages, ticket_messages)

INTRODUCTION = f"""# Messages

What services announce through RabbitMQ, on the topic exchange `{EXCHANGE}`. The body is proto-JSON
of the type named in the AMQP `type`; `message_id` is the outbox's id; the headers carry
`traceparent` and the subject's `version`. A message may arrive twice: keep its id with its effect.

*Made from the protos by `make docs`.*
"""


def main() -> None:
    """Write the file, or with `--check` fail when that would change it."""
    said = comments(ROOT / "build" / "image.binpb")
    messages = [m for file in FILES for m in file.DESCRIPTOR.message_types_by_name.values()]
    page = "\n".join([INTRODUCTION, *(_section(message, said) for message in messages)])
    if sys.argv[1:] != ["--check"]:
        TARGET.write_text(page)
    elif not TARGET.exists() or TARGET.read_text() != page:
        sys.exit("docs/messages.md is not what the protos say: run `make docs`.")


def _section(message: Descriptor, said: Mapping[str, str]) -> str:
    rows = [
        f"| `{field.name}` | {_type(field)} | {said.get(field.full_name, '')} |"
        for field in message.fields
    ]
    return "\n".join(
        [
            f"## {routing_key(message.full_name)}",
            "",
            f"`{message.full_name}`. {said.get(message.full_name, '')}",
            "",
            "| Field | Type | |",
            "| --- | --- | --- |",
            *rows,
            "",
        ]
    )


def _type(field: FieldDescriptor) -> str:
    kind = field.message_type or field.enum_type
    return kind.name if kind else "string" if field.type == field.TYPE_STRING else "number"


if __name__ == "__main__":
    main()
