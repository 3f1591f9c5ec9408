"""calvaria: synthetic skulls and cranial defects, and a benchmark of their value as training data."""

__version__ = "0.2.0"
