"""Studies of grafts: increments on one pretrained base, each variant with a paired baseline."""
