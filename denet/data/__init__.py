"""Data: images to network input, and the data sets that a DENet is trained and evaluated on."""
