"""The messages of the Open Inference Protocol (KServe V2, gRPC) that a client of a bundle needs.

Their fields are a part of those in `grpc_service.proto` and `model_config.proto` of Triton; what a
server sends beside is passed over. They are built here because Triton's own client brings five
packages more.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SERVICE = "/inference.GRPCInferenceService"

_PACKAGE = "inference"

_TYPES = descriptor_pb2.FieldDescriptorProto

_FIELDS: dict[str, dict[str, tuple[int, str]]] = {
    "InferInputTensor": {
        "name": (1, "string"),
        "datatype": (2, "string"),
        "shape": (3, "int64*"),
    },
    "InferRequestedOutputTensor": {"name": (1, "string")},
    "ModelInferRequest": {
        "model_name": (1, "string"),
        "inputs": (5, "InferInputTensor*"),
        "outputs": (6, "InferRequestedOutputTensor*"),
        "raw_input_contents": (7, "bytes*"),
    },
    "InferOutputTensor": {
        "name": (1, "string"),
        "datatype": (2, "string"),
        "shape": (3, "int64*"),
    },
    "ModelInferResponse": {
        "model_name": (1, "string"),
        "outputs": (5, "InferOutputTensor*"),
        "raw_output_contents": (6, "bytes*"),
    },
    "ModelParameter": {"string_value": (1, "string")},
    # How the wire has a map.
    "ParametersEntry": {"key": (1, "string"), "value": (2, "ModelParameter")},
    "ModelInstanceGroup": {"count": (2, "int32")},
    "ModelConfig": {
        "name": (1, "string"),
        "max_batch_size": (4, "int32"),
        "instance_group": (7, "ModelInstanceGroup*"),
        "parameters": (14, "ParametersEntry*"),
    },
    "ModelConfigRequest": {"name": (1, "string")},
    "ModelConfigResponse": {"config": (1, "ModelConfig")},
}
"""Number and type of each field; a star is a repeated one."""


def _built() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="denet/serve.proto", package=_PACKAGE, syntax="proto3"
    )
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            plain = kind.rstrip("*")
            added = message.field.add(
                name=field,
                number=number,
                label=_TYPES.LABEL_REPEATED if kind.endswith("*") else _TYPES.LABEL_OPTIONAL,
            )
            if plain in _FIELDS:
                added.type, added.type_name = _TYPES.TYPE_MESSAGE, f".{_PACKAGE}.{plain}"
            else:
                added.type = getattr(_TYPES, f"TYPE_{plain.upper()}")
    # Of its own: an application may have Triton's messages, of the same names, in the default one.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in _FIELDS
    }


_CLASSES = _built()

ModelInferRequest: Any = _CLASSES["ModelInferRequest"]
ModelInferResponse: Any = _CLASSES["ModelInferResponse"]
ModelConfigRequest: Any = _CLASSES["ModelConfigRequest"]
ModelConfigResponse: Any = _CLASSES["ModelConfigResponse"]
