"""What the evaluate stage does step by step: quality, speed through the server, the facts of the verdict."""
