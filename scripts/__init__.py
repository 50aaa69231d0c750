"""What keeps the repository in order: tried releases, generated pages."""
