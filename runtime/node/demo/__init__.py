"""`denet node demo`: a node that can be looked at before there are cameras or a model."""
