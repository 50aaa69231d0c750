"""ONNX Runtime: its sessions, its execution providers, and the memory they work in."""
