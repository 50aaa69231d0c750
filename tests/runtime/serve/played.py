"""A server that is played: the protocol of Triton over a real channel of gRPC, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np

from runtime import Bundle, Runtime
from runtime.serve import messages
from runtime.serve.answering import Answering
from runtime.serve.contract import CONTRACT, CONTRACT_KEY, EMBEDDING, MADE_BY, MANIFEST_KEY
from tests.runtime.node.broker import free_port


def texts(content: bytes) -> list[bytes]:
    """What is in a tensor of BYTES."""
    found, at = [], 0
    while at < len(content):
        length = int.from_bytes(content[at : at + 4], "little")
        found.append(content[at + 4 : at + 4 + length])
        at += 4 + length
    return found


def packed(values: list[bytes]) -> bytes:
    return b"".join(len(each).to_bytes(4, "little") + each for each in values)


def config_of(bundle: Bundle, rows: int = 16) -> Any:
    """A ModelConfigResponse as that of a bundle."""
    response = messages.ModelConfigResponse()
    response.config.name, response.config.max_batch_size = "denet", rows
    for key, value in ((CONTRACT_KEY, CONTRACT), (MANIFEST_KEY, bundle.content.decode())):
        added = response.config.parameters.add(key=key)
        added.value.string_value = value
    return response


def answer_of(embeddings: Any, made_by: bytes) -> Any:
    """A ModelInferResponse."""
    response = messages.ModelInferResponse(model_name="denet")
    rows = len(embeddings)
    for name, kind, shape, content in (
        (EMBEDDING, "FP32", embeddings.shape, np.asarray(embeddings, "<f4").tobytes()),
        (MADE_BY, "BYTES", (rows, 1), packed([made_by] * rows)),
    ):
        added = response.outputs.add(name=name, datatype=kind)
        added.shape.extend(shape)
        response.raw_output_contents.append(content)
    return response


class Played:
    """Serves a bundle, until it is told to do something else.

    Attributes:
        runtime: embeds; another takes over at once.
        config: what the server says of its model.
        spoil: changes an answer before it is given.
        requests: rows of each request.
    """

    def __init__(self, runtime: Runtime, rows: int = 16) -> None:
        self.port = free_port()
        self.requests: list[int] = []
        self.spoil: Callable[[Any], Any] = lambda answer: answer
        self.serve(runtime, rows)
        self._server: grpc.Server | None = None

    def serve(self, runtime: Runtime, rows: int = 16) -> None:
        self.runtime, self.config = runtime, config_of(runtime.bundle, rows)
        self._answering = Answering(runtime)

    @property
    def address(self) -> str:
        return f"grpc://127.0.0.1:{self.port}"

    def start(self, credentials: Any = None) -> None:
        server = grpc.server(ThreadPoolExecutor(4))
        methods = {
            "ModelConfig": (self._config, messages.ModelConfigRequest),
            "ModelInfer": (self._infer, messages.ModelInferRequest),
        }
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                method,
                request_deserializer=kind.FromString,
                response_serializer=lambda message: (
                    message if isinstance(message, bytes) else message.SerializeToString()
                ),
            )
            for name, (method, kind) in methods.items()
        }
        service = grpc.method_handlers_generic_handler(messages.SERVICE[1:], handlers)
        server.add_generic_rpc_handlers((service,))
        where = f"127.0.0.1:{self.port}"
        if credentials is None:
            assert server.add_insecure_port(where)
        else:
            assert server.add_secure_port(where, credentials)
        server.start()
        self._server = server

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop(None).wait()
            self._server = None

    def _config(self, request: Any, context: Any) -> Any:
        if request.name != "denet":
            context.abort(grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{request.name}'")
        return self.config

    def _infer(self, request: Any, context: Any) -> Any:
        columns = {
            tensor.name: texts(content)
            for tensor, content in zip(request.inputs, request.raw_input_contents, strict=True)
        }
        (answer,) = self._answering([columns])
        if isinstance(answer, Exception):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(answer))
        self.requests.append(len(answer))
        return self.spoil(answer_of(answer, self._answering.made_by.encode()))


@contextmanager
def playing(runtime: Runtime, rows: int = 16, credentials: Any = None) -> Iterator[Played]:
    server = Played(runtime, rows)
    server.start(credentials)
    try:
        yield server
    finally:
        server.stop()
