"""What each operation means, in plain tensors on any device."""
