"""What Microsoft documents of Graph, each statement as a test that the product withstands it."""
