"""ONNX Runtime sessions that share one pool of CPU threads.

By default every session brings a pool of spinning threads of its own, and 15 of them fight for
the cores. The shared pool is the whole process's: sessions of others must then take it, too. Where
these cannot be changed, `own` gives each engine threads of its own, which do not spin.
"""

from __future__ import annotations

from pathlib import Path

from runtime.backends.base import BackendError
from runtime.backends.onnxruntime.library import ort
from runtime.backends.onnxruntime.providers import Provider
from runtime.backends.onnxruntime.releases import wrong_optimizers
from runtime.machine.share import default_threads

ERROR, FATAL = 3, 4
"""Severities of ONNX Runtime's log, from which on it writes to stderr."""


class Pool:
    """The process's one pool of CPU threads; its size is fixed when it is made.

    Attributes:
        threads: that were asked for; None for the default.
        size: of the pool; 0 for ONNX Runtime's own choice, one for each core.
        made: it is there.
        shared: engines take it; otherwise each has threads of its own.
    """

    threads: int | None = None
    size = 0
    made = False
    shared = False

    @classmethod
    def ensure(cls, threads: int | None, *, own: bool = False) -> None:
        """Make the pool with `threads` threads, or find it made so.

        Args:
            threads: None for one for each core that this process may use.
            own: leave the process without a shared pool: each engine has threads of its own.

        Raises:
            BackendError: the pool was made with another size, or is shared where it must not be.
        """
        if cls.made and own and cls.shared:
            raise BackendError(
                "the process's shared thread pool is made already and cannot be undone: load the "
                "first runtime of the process with its own pool"
            )
        if cls.made:
            if threads is not None and threads != cls.threads:
                size = "its default size" if cls.threads is None else f"{cls.threads} threads"
                raise BackendError(
                    f"the process's thread pool was made with {size} and cannot be changed to "
                    f"{threads} threads: the first runtime of a process decides"
                )
            return
        cls.size = threads or default_threads() or 0
        # Older releases (on JetPack 6, say) cannot share a pool from Python.
        if not own and hasattr(ort, "set_global_thread_pool_sizes"):
            try:
                ort.set_global_thread_pool_sizes(cls.size, 1)
            except Exception:  # the application that embeds us has made a shared pool already
                if threads is not None:
                    raise BackendError(
                        "this application has already made ONNX Runtime's shared thread pool: "
                        "leave `threads` unset to use it"
                    ) from None
            cls.shared = True
        cls.threads, cls.made = threads, True


def open_session(
    model: bytes,
    provider: Provider,
    name: str,
    *,
    literal: bool = False,
    whole: bool = True,
    profile: Path | None = None,
    optimized: bool = False,
    optimized_to: Path | None = None,
) -> ort.InferenceSession:
    """A session on the provider called "cpu", "cuda" or otherwise, in the shared pool, which must
    have been made.

    Args:
        model: a serialized ONNX model.
        provider: what runs it.
        name: of the engine, for messages.
        literal: quantize, dequantize and compute in float as the model says, step by step, instead
            of computing in int8: what another device would make of it, slowly.
        whole: the provider has to run all of it; otherwise operators that it lacks run on the CPU.
        profile: how the name of a file begins in which it notes what it runs, and when.
        optimized: the model is what ONNX Runtime made of one here, and is run as it is.
        optimized_to: a file to write the graph to that it makes of the model.

    Raises:
        BackendError: it cannot be loaded there.
    """
    options = ort.SessionOptions()
    if optimized:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if optimized_to is not None:
        options.optimized_model_filepath = str(optimized_to)
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, str(profile)
    # On the CPU what goes wrong is raised as well; on a GPU the log alone says why there is none.
    options.log_severity_level = FATAL if provider.is_cpu else ERROR
    # Not the format of its own, which it would know by its first bytes and nothing here can check.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    if Pool.shared:
        options.use_per_session_threads = False
    else:
        options.intra_op_num_threads = Pool.size
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if literal:
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    if whole and not provider.is_cpu:
        # Without this, operators that the GPU cannot run would silently go to the CPU.
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    # The fallback would try again on the CPU, and print that.
    more = {"disabled_optimizers": list(wrong_optimizers(ort.__version__)), "enable_fallback": 0}
    try:
        if devices := provider.devices():
            options.add_provider_for_devices(devices, dict(provider.options))
            session = ort.InferenceSession(model, options, **more)
        else:
            listed = [(provider.name, dict(provider.options))]
            session = ort.InferenceSession(model, options, providers=listed, **more)
    except Exception as error:  # ONNX Runtime's exceptions have no common base class
        raise BackendError(f"{provider.backend}: cannot load the engine {name}: {error}") from None
    if provider.name not in session.get_providers():
        raise BackendError(
            f"{provider.backend}: ONNX Runtime cannot start {provider.name} here: see that "
            f"{provider.needs} of the versions it was built for are installed"
        )
    return session
