"""Training what is grafted: increments alone, LoRA or everything, always beside a baseline without them."""
