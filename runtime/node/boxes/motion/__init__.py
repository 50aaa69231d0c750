"""Persons as what moves before a fixed camera: without any model, to try a camera."""
