"""The native decoder in its forms (PyTorch, NumPy), its KV cache, generation, checkpoints and bundled models."""
