"""Figures of what a calibration found; they look as those of `denet.figures`."""
