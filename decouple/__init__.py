"""Published findings about neural-network training, kept honest as falsifiable claims."""

__version__ = "0.1.0"
