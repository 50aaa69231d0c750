"""Where persons are in a frame, where that is in the frames of other modalities, and their pixels."""
