"""A worker on Celery's thread pool takes the next message as soon as one of its threads is free."""

from support.harness import Worker, eventually, fresh_number, stopped

from tasks import confirm_verification

MESSAGES = 20


def test_a_busy_pool_takes_a_message_whenever_a_thread_is_free(environ, tmp_path):
    options = ("-P", "threads", "-Q", "ringproof.interactive")
    with stopped(Worker(tmp_path / "log", environ, tmp_path, *options, concurrency=1)):
        results = [confirm_verification.delay(fresh_number(), "1234") for _ in range(MESSAGES)]

        # An event loop that nobody wakes takes one message a second.
        eventually(
            lambda: all(result.ready() for result in results), within=MESSAGES / 3, why="messages wait for the loop"
        )
