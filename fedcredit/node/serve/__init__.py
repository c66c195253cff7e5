"""The process around a node: how it says how it is, and how it ends."""
