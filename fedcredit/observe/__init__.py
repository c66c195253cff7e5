"""What a node says of itself while it runs: log lines and figures, neither of which can hold data."""
