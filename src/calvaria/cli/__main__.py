"""``python -m calvaria.cli``, the same as ``calvaria``."""

from calvaria.cli import main

main()
