"""What the evaluate stage does step by step: candidates' quality, their speed through the server, the verdict's facts."""
