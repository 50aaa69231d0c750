"""The layouts of data sets on disk: how each is recognized and read."""
