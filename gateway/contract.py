"""What the protos say, in the words that the gateway needs: services, names, options."""

from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import tessera
from buf.validate import validate_pb2
from google.protobuf.descriptor import (
    Descriptor,
    EnumDescriptor,
    FieldDescriptor,
    MethodDescriptor,
)
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from tessera.rest.v1 import rest_pb2

Write = Callable[[Message], bytes]
Read = Callable[[bytes], Message]

HTTP_BODY = "google.api.HttpBody"
EMPTY = "google.protobuf.Empty"
TIMESTAMP = "google.protobuf.Timestamp"
UPDATE_MASK = "update_mask"
MAX_ITEMS = 200  # of a list whose rule names no limit

# JSON numbers are doubles in most languages: integers beyond 32 bits are strings, as in proto JSON.
LONG_INTEGERS = {
    FieldDescriptor.TYPE_INT64,
    FieldDescriptor.TYPE_UINT64,
    FieldDescriptor.TYPE_SINT64,
    FieldDescriptor.TYPE_FIXED64,
    FieldDescriptor.TYPE_SFIXED64,
}


def methods() -> Iterator[MethodDescriptor]:
    """Every RPC of every `tessera.*` service, in a stable order."""
    for package in tessera.__path__:
        root = Path(package).parent
        for path in sorted(root.glob("tessera/**/*_service_pb2.py")):
            name = ".".join(path.relative_to(root).with_suffix("").parts)
            for service in import_module(name).DESCRIPTOR.services_by_name.values():
                yield from service.methods


@cache
def message_class(descriptor: Descriptor) -> type[Message]:
    """The generated class of a message."""
    return GetMessageClass(descriptor)


def wire(rpc: MethodDescriptor) -> tuple[str, Write, Read]:
    """What a channel needs to call an RPC: its name, how a request is written, an answer read."""
    return (
        f"/{rpc.containing_service.full_name}/{rpc.name}",
        message_class(rpc.input_type).SerializeToString,
        message_class(rpc.output_type).FromString,
    )


def header_of(field: FieldDescriptor) -> str:
    """The HTTP request header that fills the field, or nothing."""
    header: str = field.GetOptions().Extensions[rest_pb2.header]
    return header


def max_items(field: FieldDescriptor) -> int:
    """How many elements a list may have, by its validation rule."""
    rules = field.GetOptions().Extensions[validate_pb2.field].repeated
    return int(rules.max_items) if rules.HasField("max_items") else MAX_ITEMS


def message_of(field: FieldDescriptor) -> Descriptor:
    """The type of a message field."""
    assert field.message_type is not None, field.full_name
    return field.message_type


def enum_of(field: FieldDescriptor) -> EnumDescriptor:
    """The type of an enum field."""
    assert field.enum_type is not None, field.full_name
    return field.enum_type


def is_message(field: FieldDescriptor) -> bool:
    return field.type == FieldDescriptor.TYPE_MESSAGE


def is_map(field: FieldDescriptor) -> bool:
    return is_message(field) and bool(message_of(field).GetOptions().map_entry)


def is_http_body(field: FieldDescriptor) -> bool:
    return is_message(field) and message_of(field).full_name == HTTP_BODY


@cache
def enum_names(descriptor: EnumDescriptor) -> dict[int, str]:
    """`{1: "DRAFT", …}`: without the enum's prefix, and without UNSPECIFIED, which is absence."""
    first: str = descriptor.values_by_number[0].name
    prefix = first.removesuffix("UNSPECIFIED")
    return {v.number: v.name.removeprefix(prefix) for v in descriptor.values if v.number}
