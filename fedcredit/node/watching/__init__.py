"""Scores of a bank's borrowers month by month: what is kept of them, what has changed, how far they have drifted."""
