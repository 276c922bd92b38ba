"""Measurements: each runs a host, through its `edit` seam and its taps, and gives a Trace or a table."""
