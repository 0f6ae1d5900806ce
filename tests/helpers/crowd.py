"""Many at once: the same done by threads that start together, each with its own connection."""

import threading

from django.db import connection


def at_once(number, do):
    """Call `do(index)` in `number` threads at the same moment; return what each returned or raised."""
    results: list[object] = [None] * number
    barrier = threading.Barrier(number)

    def work(index):
        try:
            barrier.wait(20)
            results[index] = do(index)
        except Exception as error:
            results[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=[index]) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results
