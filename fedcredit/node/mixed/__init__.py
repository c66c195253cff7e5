"""Models of jobs in which several parties have labels, of different subjects, and others have columns."""
