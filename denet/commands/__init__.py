"""The commands of the command line that make data and networks, and measure them.

A module for each; they import what they need when they run, so that `denet --help` is quick.
"""
