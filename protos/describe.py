"""Writes `docs/messages.md` from the protos: what travels through RabbitMQ, field by field.

`--check` only says whether the file is up to date.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from google.protobuf import descriptor_pb2

from kit.broker import EXCHANGE
from kit.outbox import routing_key

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs" / "messages.md"
_MESSAGE, _FIELD = 4, 2  # field numbers in descriptor.proto, which comments' paths are made of

INTRODUCTION = f"""# Messages

What services announce through RabbitMQ, on the topic exchange `{EXCHANGE}`. The body is proto-JSON of the type named in the
AMQP `type`; `message_id` is the outbox's id; the headers carry `traceparent` and the subject's `version`. A message may
arrive twice: keep its id with its effect.

*Made from the protos by `make docs`.*
"""


def main() -> None:
    """Write the file, or with `--check` fail when that would change it."""
    page = describe(ROOT / "build" / "image.binpb")
    if sys.argv[1:] != ["--check"]:
        TARGET.write_text(page)
    elif not TARGET.exists() or TARGET.read_text() != page:
        sys.exit("docs/messages.md is not what the protos say: run `make docs`.")


def describe(image: Path) -> str:
    """The page for the messages in a descriptor image with source information."""
    files = descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes()).file
    sections = [
        section
        for file in files
        if file.name.endswith("/messages.proto")
        for section in _sections(file)
    ]
    return "\n".join([INTRODUCTION, *sections])


def _sections(file: descriptor_pb2.FileDescriptorProto) -> Iterator[str]:
    comments = {
        tuple(location.path): " ".join(location.leading_comments.split())
        for location in file.source_code_info.location
    }
    for number, message in enumerate(file.message_type):
        name = f"{file.package}.{message.name}"
        rows = [
            f"| `{field.name}` | {_type(field)} | {comments.get((_MESSAGE, number, _FIELD, i), '')} |"
            for i, field in enumerate(message.field)
        ]
        yield "\n".join(
            [
                f"## {routing_key(name)}",
                "",
                f"`{name}`. {comments.get((_MESSAGE, number), '')}",
                "",
                "| Field | Type | |",
                "| --- | --- | --- |",
                *rows,
                "",
            ]
        )


def _type(field: descriptor_pb2.FieldDescriptorProto) -> str:
    if field.type_name:
        return field.type_name.rsplit(".", 1)[-1]
    kind = descriptor_pb2.FieldDescriptorProto.Type.Name(field.type)
    return kind.removeprefix("TYPE_").lower()


if __name__ == "__main__":
    main()
