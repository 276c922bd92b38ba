"""The live page: type a text, and the layers change; drag a gap, and see its effect on the predictions. Local only."""

from ropewalk.live.server import Live, serve

__all__ = ["Live", "serve"]
