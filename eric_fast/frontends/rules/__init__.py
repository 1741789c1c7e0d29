"""Rule lists and logic programs of other tools."""
