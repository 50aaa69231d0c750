"""A page on which a person sees cameras, searches with pictures and follows people: read-only."""
