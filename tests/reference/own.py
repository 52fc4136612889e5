"""Tasks of the tests' own: what the reference leaves out, as a user of Windrow would write it."""

import asyncio
import time

from celery import current_task, shared_task

from windrow import DatabaseSessionLocal, SchedulerRepository, run_async, task


@task(bind=True)
async def self_portrait(self, execution_id=None, data=None):
    """What an async task sees of itself."""
    await asyncio.sleep(0)
    seen = await asyncio.gather(_name_of_current(), _name_of_current())
    return {
        "execution_id": execution_id,
        "data": data,
        "request_id": self.request.id,
        "current": current_task.name,
        "in_children": seen,
    }


async def _name_of_current():
    await asyncio.sleep(0)
    return current_task.request.id


@task
def required(execution_id, data="none"):
    """A task whose execution_id has no default."""
    return {"execution_id": execution_id, "data": data}


@task(bind=True)
def shout(self, execution_id=None, text=None, times=1):
    """A canvas step whose first parameter is execution_id."""
    return {"execution_id": execution_id, "text": text, "times": times}


@task
def word():
    """A canvas step's result."""
    return "word"


@task(bind=True, max_retries=2)
async def retries_itself(self):
    """Asks for a retry inside a coroutine, twice."""
    await asyncio.sleep(0)
    if self.request.retries < 2:
        raise self.retry(countdown=0.1)
    return self.request.retries


@task(bind=True)
async def tells(self, count):
    """Tells its progress inside a coroutine."""
    for number in range(count):
        self.update_state(state="PROGRESS", meta={"current": number + 1, "total": count})
        await asyncio.sleep(0.3)
    return count


@task(bind=True, autoretry_for=(ValueError,), max_retries=1, retry_backoff=True, retry_jitter=False)
async def fails(self):
    """Always raises."""
    await asyncio.sleep(0)
    raise ValueError(f"try {self.request.retries}")


@task(bind=True, soft_time_limit=1, time_limit=20)
async def too_long(self, execution_id=None):
    """Waits past its soft limit, with a handler, a rollback and a cleanup, as the reference's task has them."""
    async with DatabaseSessionLocal() as session:
        steps = []
        try:
            await asyncio.sleep(15)
        except Exception as exc:
            steps.append(type(exc).__name__)
            await session.rollback()
            raise
        finally:
            repository = SchedulerRepository()
            status = await repository.get_execution_status_by_code(session, "failed")
            fields = {"status_id": status.id, "error_message": " ".join(steps)}
            await repository.update_execution(session, execution_id, fields)
            await session.commit()


@shared_task(bind=True, soft_time_limit=1, time_limit=20)
def swallows_the_limit(self):
    """A plain task whose coroutine makes something of the time that it had."""

    async def work():
        done = []
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_sleep(done))
        except Exception as exc:
            return [*done, type(exc).__name__]

    return run_async(work())


async def _sleep(done):
    try:
        await asyncio.sleep(15)
    finally:
        await asyncio.sleep(0.05)
        done.append("ended")


@task
async def disposes(number):
    """Cleans up as the reference's seventh pattern asks for."""
    from sqlalchemy import text

    from windrow.authoring.database import get_engine

    async with DatabaseSessionLocal() as session:
        try:
            return (await session.execute(text(f"SELECT {int(number)}"))).scalar()
        finally:
            await get_engine().dispose()


@shared_task(bind=True, acks_late=True)
def sleeps(self, seconds):
    """Holds a slot."""
    time.sleep(seconds)
    return seconds


@shared_task
def leaves_a_mark(path, seconds):
    """Says that it runs, then takes its time."""
    with open(path, "w", encoding="utf-8"):
        time.sleep(seconds)
    return "done"
