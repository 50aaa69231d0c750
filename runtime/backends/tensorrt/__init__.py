"""TensorRT: engines built for this machine, run on streams of a CUDA device."""
