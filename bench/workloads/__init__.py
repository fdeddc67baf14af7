"""One file a workload: `NAME.py` defines `WORKLOAD`, and dropping the file in registers it."""
