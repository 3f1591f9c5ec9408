"""``python -m calvaria.cli``, for whoever has no ``calvaria`` on the path."""

from calvaria.cli import main

main()
