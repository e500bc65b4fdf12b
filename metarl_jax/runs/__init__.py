"""A run from its first iteration to its summary: the only training loop, checkpoints, the run directory, judging, sweeps."""
