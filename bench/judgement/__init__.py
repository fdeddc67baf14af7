"""The judgement of whole trainings: do arms converge alike, how soon is the target reached, what of the book holds.

Pure functions on what `trainings` reads out of a run's records. What is decided how stands in words beside the code
that decides it, and was declared before any training was seen; thresholds are constants with their reasons. Nothing
here measures, draws or writes: the pages are made in `bench.report`.
"""
