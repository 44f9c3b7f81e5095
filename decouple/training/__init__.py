"""The training loop and what the experiments add to it."""
