"""Analyses: pure functions from Traces and tables to Results; they run no model and read no clock."""
