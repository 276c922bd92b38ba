"""Fast paths, each kept only where a benchmark proves it, each with a plain fallback."""
