"""Models of jobs whose parties have the same columns for different subjects, one file per kind."""
