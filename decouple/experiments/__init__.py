"""Experiments, one package per document: configuration, presets, arms and the run itself."""
