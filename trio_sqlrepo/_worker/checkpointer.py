"""The turn of the checkpointer: upkeep that needs a connection of its own, off the write path."""

from __future__ import annotations

from typing import final

from trio_sqlrepo._worker.thread import Event, Worker


@final
class Checkpointer(Worker):
    """Does what lies in its mailbox, each job outside of any transaction."""

    _announced = False  # worker thread

    def _turn(self) -> bool:
        if not self._announced:
            # It was opened because there is work, and who has it waits for nothing but this.
            self._announced = True
            self._send(Event.WAL)
        try:
            job = self.mailbox.popleft()
        except IndexError:
            return False
        if self._claim(job):
            self._run(job)
            self._finish(job)
        return True
