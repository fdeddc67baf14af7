"""One run over many machines: each measures one cell at a time, each class of machines has its own results."""
