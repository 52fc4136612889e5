"""QueueWorker specs: parse, check, derive (Celery settings, termination grace, what is capped). Pure: no Redis, no Celery, no clock."""
