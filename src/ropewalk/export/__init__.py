"""Models and pages for places without Python: ONNX, and a static site that runs it in the browser."""

from ropewalk.export.onnx_graph import onnx
from ropewalk.export.site import site

__all__ = ["onnx", "site"]
