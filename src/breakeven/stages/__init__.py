"""The six stages, one module each, its STAGE last. The table of them stands in project.py."""
