"""calvaria: synthetic skulls and cranial defects, and an honest comparison of what they are worth."""

__version__ = "0.2.0"
