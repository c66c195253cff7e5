"""Encrypted scores between nodes: the desk at a provider, the way of a bank to all of them."""
