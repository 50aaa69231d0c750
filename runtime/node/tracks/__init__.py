"""Tracks: one person from the first box to the last, embedded a few times and told as one."""
