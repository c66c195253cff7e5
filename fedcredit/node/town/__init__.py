"""A town on this machine: a platform, an institution and departments that have joined it, a process each."""
