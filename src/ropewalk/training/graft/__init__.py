"""Training what is grafted: increments alone, LoRA or everything, always with a baseline without them."""
