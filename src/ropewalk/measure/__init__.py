"""Measurements: each runs a host, through its `edit` argument and its activations, and returns a Trace or a table."""
