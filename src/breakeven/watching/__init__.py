"""What happens to a served release: kept inputs and drift from the training data."""
