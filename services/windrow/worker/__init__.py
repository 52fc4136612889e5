"""What runs inside a worker process: the consumer, requests, the prefork pool, drain, the lease keeper, metrics."""
