"""Scores of published models: whose keys count, what a department lets have, and what it has let have. Pure."""
