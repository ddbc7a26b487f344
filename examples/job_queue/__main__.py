"""Four workers, twenty letters to send, and an address that never answers."""

from datetime import timedelta

import trio

from examples.job_queue.queue import SCHEMA, Job, Jobs, Policy
from examples.job_queue.worker import utc_now, work
from trio_sqlrepo import open_database

POLICY = Policy(max_attempts=3, back_off=timedelta(milliseconds=20))


async def send(job: Job) -> None:
    if job.payload["to"] == "nobody":
        raise ConnectionError("nobody answers")
    await trio.sleep(0.01)
    print(f"sent to {job.payload['to']}")


async def main() -> None:
    async with (
        open_database("jobs.db", repositories=[Jobs], migrations=[SCHEMA]) as db,
        trio.open_nursery() as nursery,
    ):
        for _ in range(4):
            nursery.start_soon(work, db, send, POLICY)
        jobs = Jobs(db)
        for number in range(20):
            await jobs.enqueue("letter", {"to": f"user {number}"}, utc_now())
        await jobs.enqueue("letter", {"to": "nobody"}, utc_now())

        async with db.live(jobs.next_due) as dues:  # None: no job is ready any more
            async for due in dues:
                if due is None:
                    break
        for job in await jobs.dead():
            print(f"gave up after {job.attempts} attempts: {job.payload} ({job.error})")
        nursery.cancel_scope.cancel()


trio.run(main)
