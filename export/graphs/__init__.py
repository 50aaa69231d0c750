"""One ONNX graph per missing state, made of a bundle's engines: for those who run it from C++, in
Triton's own backends or in DeepStream. Needs onnx, no torch."""
