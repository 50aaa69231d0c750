"""Folders and tables as people have them, made into a data set: found, proposed, written."""
