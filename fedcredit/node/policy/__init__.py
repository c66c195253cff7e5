"""A node's policy at work: the file as it stands, what a job asks, what was decided, and the people who approve."""
