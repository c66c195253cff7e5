"""Peers that sign each other's audit heads: what a node asks of them, and what it does when they ask."""
