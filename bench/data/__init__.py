"""The data sets as NumPy arrays: the same bytes, in the same batches, in the same order, for every arm."""
