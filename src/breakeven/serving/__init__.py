"""The HTTP service over one package: checked keys, strict input, batches, metered answers, and its own load test."""
