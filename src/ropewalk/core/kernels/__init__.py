"""Fast kernels, each justified by a benchmark and with a plain fallback."""
