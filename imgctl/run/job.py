"""A task on its way through a local pool: from the caller's submit to its future's end."""

from concurrent.futures import Future
from multiprocessing.reduction import ForkingPickler

from imgctl.run.child import TOO_LARGE, Said
from imgctl.run.pool import ChildDied

STOPPED = "was stopped with its pool"


class Job:
    """A task as its child will read it, and the future that waits for the answer."""

    def __init__(self, payload: memoryview, future: Future[object]) -> None:
        self.payload = payload
        self.future = future
        self._running = False

    def start(self) -> bool:
        """Whether the task is still wanted; from then on it cannot be cancelled."""
        self._running = self._running or self.future.set_running_or_notify_cancel()
        return self._running

    def drop(self) -> None:
        """The pool stops before the task has begun."""
        if self._running:
            # It was handed to a child that died idle, and a running future cannot be cancelled.
            self.died(STOPPED)
        else:
            self.future.cancel()
            self.future.set_running_or_notify_cancel()

    def died(self, reason: str) -> None:
        """The child that held the task ended first."""
        self.future.set_exception(ChildDied(reason))

    def settle(self, message: bytes) -> Said:
        """End the future with what the child said."""
        said: Said = Said.ERROR
        try:
            said, value = ForkingPickler.loads(message)
        except Exception as error:
            # A value may refuse to arrive in any way it likes.
            self.future.set_exception(error)
            return said
        match said:
            case Said.VALUE:
                self.future.set_result(value)
            case Said.MEMORY:
                self.died(TOO_LARGE)
            case _:
                failure, where = value
                failure.add_note(where)
                self.future.set_exception(failure)
        return said
