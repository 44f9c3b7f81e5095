"""Model architectures, one a file, in pure torch; importing the package imports no torch."""
