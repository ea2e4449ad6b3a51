"""What collect and process stand on: one reader a format family, duplicates, personal data, splits, cards, cases."""
