"""Consents at nodes: at the platform, the authority behind a login; at parties, what it says is revoked.

The subject's own view of who asked what about it is made from the ledgers of uses, not here.
"""
