"""Training: one loop for native models and grafts, with its recipe, run folder, optimizer and processes."""
