"""`denet node align`: where a place of the RGB frame is in the frames of the other cameras, by
points that both see."""
