"""One file a section of the report; each gives the blocks of its stage from the Snapshot, or none."""
