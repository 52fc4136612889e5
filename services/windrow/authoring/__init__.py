"""What a task's author imports: task, run_async, install, DatabaseSessionLocal, SchedulerRepository.

Nothing here may import the worker: a producer has no use for it.
"""
