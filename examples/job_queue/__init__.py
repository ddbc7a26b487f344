"""A durable job queue with leases, retries and dead letters: `python -m examples.job_queue`."""
