"""Studies of models trained from scratch: groups of variants, each with paired seeds."""
