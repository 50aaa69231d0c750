"""From a bundle's ONNX files to TensorRT engines for this machine; needs neither torch nor onnx."""
