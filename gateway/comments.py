"""The protos' comments by full name: generated Python drops them, protoc's image keeps them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import DecodeError

from kit import telemetry

# The field numbers in descriptor.proto that lead from a file to what is in it, and further down.
_PARTS: Mapping[str, Mapping[int, str]] = {
    "FileDescriptorProto": {4: "message_type", 5: "enum_type", 6: "service"},
    "DescriptorProto": {2: "field", 3: "nested_type", 4: "enum_type"},
    "EnumDescriptorProto": {2: "value"},
    "ServiceDescriptorProto": {2: "method"},
}


def comments(image: Path) -> Mapping[str, str]:
    """`{"tessera.ticket.v1.Event.location": "Where it …", …}`; empty when there is no image."""
    try:
        files = FileDescriptorSet.FromString(image.read_bytes())
    except (OSError, DecodeError):
        telemetry.log.warning(
            "no comments in /docs: the proto image cannot be read", image=str(image)
        )
        return {}
    return {name: text for file in files.file for name, text in _comments_of(file)}


def _comments_of(file: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    for location in file.source_code_info.location:
        text = " ".join(location.leading_comments.split())
        names = _names(file, location.path)
        if text and names:
            yield ".".join((file.package, *names)), text


def _names(file: FileDescriptorProto, path: Sequence[int]) -> list[str]:
    """The names along a path such as [4, 0, 2, 3]: the fourth field of the first message."""
    names: list[str] = []
    element: Any = file
    for number, index in zip(path[::2], path[1::2], strict=False):
        part = _PARTS.get(element.DESCRIPTOR.name, {}).get(number)
        if part is None:
            return []
        element = getattr(element, part)[index]
        names.append(element.name)
    return names if len(path) % 2 == 0 else []
