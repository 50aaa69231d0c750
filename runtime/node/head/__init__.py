"""A camera head: sensors that look the same way, from their frames to crops and tracks.

A node has one or several; what they share - engines, gallery, events, pages - is the node's.
"""
