"""A page to click pairs of points on: two frames side by side, on this machine alone."""
