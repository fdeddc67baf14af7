"""`bench image`: container images built and run through the Docker engine. The one place that imports its SDK, late."""
