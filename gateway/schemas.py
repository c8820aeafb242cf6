"""JSON Schemas of messages: fields as the gateway spells them, with protovalidate's rules."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import protovalidate
from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from gateway import contract

Schema = dict[str, Any]

_SCALARS: Mapping[int, Schema] = {
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    FieldDescriptor.TYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.TYPE_FLOAT: {"type": "number", "format": "float"},
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.TYPE_SINT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.TYPE_SFIXED32: {"type": "integer", "format": "int32"},
    FieldDescriptor.TYPE_UINT32: {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
    FieldDescriptor.TYPE_FIXED32: {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
}
_LONG_INTEGER: Schema = {"type": "string", "pattern": "^-?[0-9]{1,20}$"}

# protovalidate's rule → JSON Schema's word for it.
_WORDS = {
    "min_len": "minLength",
    "max_len": "maxLength",
    "pattern": "pattern",
    "gte": "minimum",
    "gt": "exclusiveMinimum",
    "lte": "maximum",
    "lt": "exclusiveMaximum",
}
_FORMATS = ("email", "hostname", "uri", "uuid")


class Schemas:
    """Schemas of a document, and the components that they share.

    A message that both answers and requests contain is described twice: in an answer all fields are
    there that cannot be absent; a request may have no unknown ones, and only lack what is optional.
    """

    def __init__(self, comments: Mapping[str, str]) -> None:
        self.components: dict[str, Schema] = {}
        self._comments = comments
        self._names: dict[tuple[str, bool], str] = {}

    def answer(self, message: Descriptor) -> Schema:
        """A reference to the schema of an answer."""
        return self._reference(message, is_request=False, fields=message.fields)

    def request(self, message: Descriptor, fields: Iterable[FieldDescriptor]) -> Schema:
        """A reference to the schema of a request that may set these fields."""
        return self._reference(message, is_request=True, fields=fields)

    def field(self, field: FieldDescriptor, *, is_request: bool) -> Schema:
        """The schema of one field, with its rules and comment."""
        schema = self._plain(field, is_request=is_request)
        if comment := self._comments.get(field.full_name):
            return schema | {"description": comment}
        return schema

    def _plain(self, field: FieldDescriptor, *, is_request: bool) -> Schema:
        rules: validate_pb2.FieldRules = field.GetOptions().Extensions[validate_pb2.field]
        if contract.is_map(field):
            value = contract.message_of(field).fields_by_name["value"]
            return {
                "type": "object",
                "additionalProperties": self._plain(value, is_request=is_request),
            }
        if not field.is_repeated:
            return self._value(field, rules, is_request=is_request)
        schema: Schema = {
            "type": "array",
            "items": self._value(field, rules.repeated.items, is_request=is_request),
        }
        if is_request:
            limits = {"minItems": rules.repeated.min_items, "maxItems": rules.repeated.max_items}
            schema.update({word: limit for word, limit in limits.items() if limit})
        return schema

    def _value(
        self, field: FieldDescriptor, rules: validate_pb2.FieldRules, *, is_request: bool
    ) -> Schema:
        if contract.is_message(field):
            message = contract.message_of(field)
            if message.full_name == contract.TIMESTAMP:
                return {"type": "string", "format": "date-time"}
            return self._reference(message, is_request=is_request, fields=message.fields)
        if field.type == FieldDescriptor.TYPE_ENUM:
            return self._enum(contract.enum_of(field), rules.enum)
        schema = dict(_SCALARS.get(field.type, _LONG_INTEGER))
        # Answers are not validated, and their rules may have been others when they were stored.
        return schema | _rules(rules) if is_request else schema

    def _enum(self, descriptor: EnumDescriptor, rules: validate_pb2.EnumRules) -> Schema:
        names = contract.enum_names(descriptor)
        only = set(getattr(rules, "in") or names) - set(rules.not_in)
        if set(names) - only:
            return {"type": "string", "enum": [names[number] for number in names if number in only]}
        if descriptor.name not in self.components:
            self.components[descriptor.name] = {
                "type": "string",
                "enum": list(names.values()),
                "description": self._enum_description(descriptor),
            }
        return {"$ref": f"#/components/schemas/{descriptor.name}"}

    def _enum_description(self, descriptor: EnumDescriptor) -> str:
        parts = [self._comments.get(descriptor.full_name, "")]
        for value in descriptor.values:
            name = contract.enum_names(descriptor).get(value.number)
            comment = self._comments.get(f"{descriptor.full_name}.{value.name}")
            if name and comment:
                parts.append(f"`{name}`: {comment}")
        return " ".join(parts).strip()

    def _reference(
        self, message: Descriptor, *, is_request: bool, fields: Iterable[FieldDescriptor]
    ) -> Schema:
        key = message.full_name, is_request
        if key not in self._names:
            name = f"{message.name}Input" if message.name in self.components else message.name
            if name in self.components:
                raise ValueError(f"{message.full_name}: REST knows another {message.name}.")
            self._names[key] = name
            self.components[
                name
            ] = {}  # its place in the order; and known, should it contain itself
            self.components[name] = self._object(message, list(fields), is_request=is_request)
        return {"$ref": f"#/components/schemas/{self._names[key]}"}

    def _object(
        self, message: Descriptor, fields: Collection[FieldDescriptor], *, is_request: bool
    ) -> Schema:
        schema: Schema = {"type": "object"}
        if comment := self._comments.get(message.full_name):
            schema["description"] = comment
        schema["properties"] = {f.name: self.field(f, is_request=is_request) for f in fields}
        needed = (
            required(message) if is_request else {f.name for f in fields if _is_always_there(f)}
        )
        if names := [field.name for field in fields if field.name in needed]:
            schema["required"] = names
        if is_request:
            schema["additionalProperties"] = False
        return schema


def required(message: Descriptor) -> set[str]:
    """The fields that an empty message of this type is refused for."""
    found = protovalidate.collect_violations(contract.message_class(message)())
    return {v.proto.field.elements[0].field_name for v in found if v.proto.field}


def _is_always_there(field: FieldDescriptor) -> bool:
    is_single_enum = field.type == FieldDescriptor.TYPE_ENUM and not field.is_repeated
    return not field.has_presence and not is_single_enum


def _rules(rules: validate_pb2.FieldRules) -> Schema:
    kind = rules.WhichOneof("type")
    if kind is None:
        return {}
    typed = getattr(rules, kind)
    schema: Schema = {}
    for rule, value in typed.ListFields():
        if rule.name in _WORDS:
            schema[_WORDS[rule.name]] = value
        elif rule.name in _FORMATS:
            schema["format"] = rule.name
    return schema
