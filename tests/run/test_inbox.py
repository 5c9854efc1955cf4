"""Nothing left in an inbox is lost, and whoever waits is woken for enough, for what is urgent, or by the clock."""

import threading
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from imgctl.run.inbox import Inbox

FOR_EVER = 60.0


@given(items=st.lists(st.lists(st.integers(), max_size=40), max_size=4), enough=st.integers(1, 50))
def test_everything_arrives_once_and_in_the_order_of_each_thread(items: list[list[int]], enough: int) -> None:
    inbox: Inbox[tuple[int, int]] = Inbox()
    taken: list[tuple[int, int]] = []
    total = sum(map(len, items))

    def leave(thread: int) -> None:
        for value in items[thread]:
            inbox.put((thread, value))

    with ThreadPoolExecutor(4) as threads:
        for thread in range(len(items)):
            threads.submit(leave, thread)
        while len(taken) < total:
            taken += inbox.take(enough=min(enough, total - len(taken)), seconds=FOR_EVER)

    assert [[value for thread, value in taken if thread == one] for one in range(len(items))] == items


def test_fewer_than_enough_come_when_the_time_is_up() -> None:
    inbox: Inbox[str] = Inbox()
    inbox.put("one")

    assert inbox.take(enough=2, seconds=0.01) == ["one"]
    assert inbox.take(enough=1, seconds=0.01) == []


def test_an_urgent_item_is_not_waited_with() -> None:
    inbox: Inbox[str] = Inbox()
    timer = threading.Thread(target=lambda: inbox.put("urgent", urgent=True))
    timer.start()

    assert inbox.take(enough=100, seconds=FOR_EVER) == ["urgent"]
    timer.join()
