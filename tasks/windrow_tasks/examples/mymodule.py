"""The basic task structure: retries with backoff and jitter, time limits, a database session, a report on one's own execution."""

# The code below the line is a user's own, kept as it was printed: no formatter, linter or type checker has changed it.
# fmt: off
# ruff: noqa
# mypy: ignore-errors

import asyncio


def process(text):
    """The work itself, which a test can replace."""
    if text is None:
        raise ValueError("there must be something to process")
    if text == "unreachable":
        raise ConnectionError("the service can't be reached")
    return text.upper()


async def do_something(session, param1, param2):
    """What the task is for."""
    if param1 == "slow":
        await asyncio.sleep(param2)
    return f"{process(param1)} x {param2}"


async def _execute_logic(param1, param2):
    """The logic without the task, for tests."""
    return await do_something(None, param1, param2)


# ----------------------------------------------------------------------------------------------------
# windrow_tasks/examples/mymodule.py
import asyncio
import logging
from celery import shared_task
from datetime import datetime, timezone

logger = logging.getLogger(__name__)

def _run_async(coro):
    """
    Run async code in Celery worker.
    Handles both existing event loops (gevent) and standalone execution.
    """
    try:
        loop = asyncio.get_running_loop()
        # Event loop exists - run in thread
        import concurrent.futures
        with concurrent.futures.ThreadPoolExecutor(max_workers=1) as executor:
            return executor.submit(asyncio.run, coro).result()
    except RuntimeError:
        # No event loop - create one
        return asyncio.run(coro)

@shared_task(
    bind=True,                    # Access task instance as self
    max_retries=3,                # Maximum retry attempts
    default_retry_delay=60,       # Seconds between retries
    autoretry_for=(Exception,),   # Auto-retry on any exception
    retry_backoff=True,           # Exponential backoff
    retry_backoff_max=300,        # Max backoff (5 min)
    retry_jitter=True,            # Add randomness to prevent thundering herd
    soft_time_limit=120,          # Soft limit - raises SoftTimeLimitExceeded
    time_limit=180,               # Hard limit - kills worker
)
def my_task(
    self,
    execution_id: str = None,
    param1: str = None,
    param2: int = 10,
) -> dict:
    """
    Example Celery task with best practices.

    Args:
        self: Task instance (from bind=True)
        execution_id: Scheduler execution ID for status updates
        param1: Task parameter
        param2: Another parameter

    Returns:
        dict with task results
    """

    async def _execute():
        from windrow import DatabaseSessionLocal
        from windrow import SchedulerRepository

        scheduler_repo = SchedulerRepository()
        started_at = datetime.now(timezone.utc)
        success = False
        error_message = None
        result_dict = None

        async with DatabaseSessionLocal() as session:
            try:
                # ========================================
                # YOUR TASK LOGIC HERE
                # ========================================
                logger.info(f"Starting task with param1={param1}")

                # Do the actual work
                result = await do_something(session, param1, param2)

                logger.info(f"Task completed successfully: {result}")
                success = True
                result_dict = {"status": "success", "result": result}

            except Exception as e:
                logger.error(f"Task failed: {e}", exc_info=True)
                error_message = str(e)

                # Rollback on error
                await session.rollback()
                raise  # Re-raise for Celery retry

            finally:
                # Update execution status
                if execution_id:
                    completed_at = datetime.now(timezone.utc)
                    duration_ms = int((completed_at - started_at).total_seconds() * 1000)

                    status_code = "success" if success else "failed"
                    status_obj = await scheduler_repo.get_execution_status_by_code(
                        session, status_code
                    )

                    if status_obj:
                        await scheduler_repo.update_execution(
                            session,
                            execution_id,
                            {
                                "completed_at": completed_at,
                                "duration_ms": duration_ms,
                                "status_id": status_obj.id,
                                "result_summary": str(result_dict) if success else None,
                                "error_message": error_message,
                            },
                        )
                        await session.commit()

        return result_dict

    logger.info(f"Starting Celery task (execution_id: {execution_id})")
    return _run_async(_execute())
