"""What `bench run` shows: what is done now and how long it takes, who is ahead, the verdicts at the end."""
