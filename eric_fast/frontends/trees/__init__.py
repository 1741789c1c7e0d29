"""Trees and sums of trees of other tools."""
