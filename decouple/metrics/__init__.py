"""Metrics: tensors in, numbers out, one family a file."""
