"""The live page: type, and the layers move; drag a gap, and see what the model makes of it. Local only."""

from ropewalk.live.server import Live, serve

__all__ = ["Live", "serve"]
