"""One file a device: the shapes that are measured there, and the rivals."""
