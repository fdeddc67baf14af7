"""The timed files, as pytest-benchmark tests; `bench run` starts them, and so can a person."""
