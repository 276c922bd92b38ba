"""Traces: the value that every measurement gives and every view accepts, as an object, a file and an archive."""
