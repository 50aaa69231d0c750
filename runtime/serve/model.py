"""The model of a repository as Triton's Python backend runs it: `model.py` there imports this.

`triton_python_backend_utils` is there only in the backend's process.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from runtime.bundle.bundle import Bundle
from runtime.machine import read_cpu
from runtime.runtime import Runtime
from runtime.serve.answering import Answer, Answering, BadRequestError
from runtime.serve.contract import (
    CONTRACT,
    CONTRACT_KEY,
    DIGEST_KEY,
    EMBEDDING,
    MADE_BY,
    ServeError,
)

BUNDLE = "model.denet"
"""The bundle's folder, in that of the version."""


class TritonPythonModel:
    """Loads the bundle that lies beside it, checks its canary, and embeds what is asked."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load.

        Raises:
            DenetError: the bundle is damaged, gives wrong embeddings here, or is another than the
                configuration says: Triton refuses the model then, and one that it serves goes on.
        """
        config = json.loads(args["model_config"])
        given = {name: value["string_value"] for name, value in config["parameters"].items()}
        if given.get(CONTRACT_KEY) != CONTRACT:
            raise ServeError(
                f"{args['model_name']}: was written by another version of denet: write it anew "
                "with `denet serve` of the one that is installed here"
            )
        bundle = Bundle.open(Path(args["model_repository"]) / args["model_version"] / BUNDLE)
        self.runtime = Runtime.load(
            bundle,
            given["backend"],
            given["precision"],
            threads=int(given["threads"]) or _share(config),
            max_batch=int(config["max_batch_size"]),
            check=True,
            preload=True,
        )
        self.answering = Answering(self.runtime)
        if self.answering.made_by.digest != given.get(DIGEST_KEY):
            raise ServeError(f"{bundle.root}: is another bundle than config.pbtxt says")

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """A response for each request."""
        import triton_python_backend_utils as triton

        modalities = self.runtime.graph.modalities
        columns = [
            {m: triton.get_input_tensor_by_name(r, m).as_numpy().ravel() for m in modalities}
            for r in requests
        ]
        return [self._response(triton, answer) for answer in self.answering(columns)]

    def finalize(self) -> None:
        """Let go of the engines."""
        self.runtime.close()

    def _response(self, triton: Any, answer: Answer) -> Any:
        if isinstance(answer, Exception):
            named = "" if isinstance(answer, BadRequestError) else f"{type(answer).__name__}: "
            code = "INVALID_ARG" if isinstance(answer, BadRequestError) else "INTERNAL"
            codes = [c for c in (getattr(triton.TritonError, code, None),) if c is not None]
            return triton.InferenceResponse(error=triton.TritonError(f"{named}{answer}", *codes))
        made_by = np.full((len(answer), 1), self.answering.made_by.encode(), object)
        return triton.InferenceResponse(
            [
                triton.Tensor(EMBEDDING, np.ascontiguousarray(answer)),
                triton.Tensor(MADE_BY, made_by),
            ]
        )


def _share(config: Mapping[str, Any]) -> int | None:
    """The CPU threads of one process where several embed: its part of the cores. None for all."""
    processes = sum(int(group["count"]) for group in config["instance_group"])
    return None if processes == 1 else max(1, read_cpu().runtime_threads // processes)
