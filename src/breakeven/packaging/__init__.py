"""A candidate as it will be served: packaged, checked, signed, released."""
