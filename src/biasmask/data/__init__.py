"""Tables, attributes, splits, pixels and batches."""
