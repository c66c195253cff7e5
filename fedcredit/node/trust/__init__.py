"""A node's own keys and its pins: where they lie, how they come to be, how they are renewed and withdrawn."""
