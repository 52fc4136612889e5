"""What a task author imports: task, run_async, install, DatabaseSessionLocal, SchedulerRepository. Nothing here may import the worker."""
