"""`python -m breakeven.cli`, for places where the script is not on the path."""

from breakeven.cli import main

main()
