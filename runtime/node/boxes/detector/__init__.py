"""A person or vehicle detector of the user's: an ONNX model of a known family."""
