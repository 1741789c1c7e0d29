"""The documentation: pages, and what is generated for them."""
