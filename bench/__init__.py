"""A benchmark suite of Keras and PyTorch on small sequence models: the rules. No framework is imported here."""
