"""The control plane of authorised verification: what the native service is given to answer from, and how it is run."""
