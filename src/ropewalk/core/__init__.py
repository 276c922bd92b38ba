"""Core: increments become positions, positions become rotations; no model, no files, no text."""
