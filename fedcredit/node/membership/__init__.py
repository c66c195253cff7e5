"""Private verification over the network: the provider's desk, the platform's permits, the bank's way to both."""
