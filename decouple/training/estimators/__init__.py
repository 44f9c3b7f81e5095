"""Gradient estimators, one algorithm a file, one interface; importing this needs no torch."""
