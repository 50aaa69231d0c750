"""The way to a server: a channel of gRPC, and its errors in plain words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from denet.packages import absent, broken
from denet.reading import read_file
from runtime.serve.address import ServerAddress
from runtime.serve.contract import AwayError, ServeError

LARGEST_ANSWER = 16 << 20
"""Bytes of an answer that are taken in; a client asks for fewer rows where those would be more."""

_PEM = 1 << 20
"""Bytes of a file of certificates, or of a key."""

_LONGEST = 300
"""Characters of what a server says that are repeated."""

_CHANNEL = (
    ("grpc.max_receive_message_length", LARGEST_ANSWER),
    ("grpc.max_send_message_length", -1),
    # A server that comes back is to be found soon, and pictures of people go to nobody else.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
)


class Connection:
    """Calls of one server, from any thread.

    Args:
        address: of the server.

    Raises:
        ServeError: gRPC is not installed, or a file of a certificate cannot be read.
    """

    def __init__(self, address: ServerAddress) -> None:
        try:
            import grpc

            from runtime.serve import messages
        except ImportError as error:
            if not absent(error, "grpc", "google", "google.protobuf"):
                raise ServeError(f"{address.name}: {broken('gRPC', error)}") from error
            raise ServeError(
                f"{address.name}: needs grpcio and protobuf: pip install '.[remote]'"
            ) from None
        self.messages = messages
        self._address, self._grpc = address, grpc
        options = list(_CHANNEL)
        if address.tls:
            parts = (address.ca, address.key, address.certificate)
            try:
                credentials = grpc.ssl_channel_credentials(*map(_pem, parts))
                self._channel = grpc.secure_channel(address.target, credentials, options)
            except ValueError as error:
                raise ServeError(f"{address.name}: {error}") from None
        else:
            self._channel = grpc.insecure_channel(address.target, options)
        self._infer = self._method("ModelInfer", messages.ModelInferResponse)
        self._config = self._method("ModelConfig", messages.ModelConfigResponse)

    def config(self) -> Any:
        """A ModelConfigResponse. Raises: as `infer`."""
        return self._call(self._config, self.messages.ModelConfigRequest(name=self._address.model))

    def infer(self, request: Any) -> Any:
        """A ModelInferResponse.

        Args:
            request: a ModelInferRequest.

        Raises:
            AwayError: the server cannot be reached, does not answer in time, or fails.
            ServeError: it refuses what is asked, or says what nobody asked for.
        """
        return self._call(self._infer, request)

    def close(self) -> None:
        """Hang up."""
        self._channel.close()

    def _method(self, name: str, answer: Any) -> Any:
        return self._channel.unary_unary(
            f"{self.messages.SERVICE}/{name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )

    def _call(self, method: Any, request: Any) -> Any:
        again = True
        while True:
            try:
                return method(request, timeout=self._address.timeout)
            except self._grpc.RpcError as error:
                # A connection that broke since it was last used says so once.
                if again and error.code() is self._grpc.StatusCode.UNAVAILABLE:
                    again = False
                    continue
                raise self._told(error) from None
            except ValueError as error:  # the channel was closed
                raise AwayError(f"{self._address.name}: {error}") from None

    def _told(self, error: Any) -> ServeError:
        code, said = error.code(), _one_line(error.details() or "")
        name, codes = self._address.name, self._grpc.StatusCode
        if code is codes.DEADLINE_EXCEEDED:
            return AwayError(f"{name}: no answer in {self._address.timeout:g} s")
        if code is codes.UNAVAILABLE:
            return AwayError(f"{name}: cannot be reached: {said}")
        if code is codes.UNIMPLEMENTED:
            return ServeError(f"{name}: is no server of models: {said}")
        if code is codes.NOT_FOUND:
            return ServeError(f"{name}: has no model {self._address.model!r} that is ready: {said}")
        if code is codes.RESOURCE_EXHAUSTED and "larger than max" in said:
            return ServeError(f"{name}: its answer is larger than {LARGEST_ANSWER >> 20} MiB")
        if code is codes.INVALID_ARGUMENT:
            return ServeError(f"{name}: refuses what was asked: {said}")
        return AwayError(f"{name}: fails: {code.name.lower().replace('_', ' ')}: {said}")


def _pem(path: Path | None) -> bytes | None:
    return None if path is None else read_file(path, ServeError, _PEM)


def _one_line(text: str) -> str:
    """What a server says: nobody knows what it is."""
    return " ".join(text[: 4 * _LONGEST].split())[:_LONGEST] or "no reason given"
