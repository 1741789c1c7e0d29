"""The meaning of each operation, in plain tensors."""
