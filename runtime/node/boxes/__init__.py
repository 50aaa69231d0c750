"""Where persons are in a frame, where that is in the other modalities' frames, and their pixels."""
