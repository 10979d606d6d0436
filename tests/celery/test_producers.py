"""Programs that make requests: with the library alone, and beside a project's own `tasks.py` and `worker.py`.

Each runs in a process of its own, as a user would start it, against the session's Redis and worker.
"""

import json
import os
import secrets
import subprocess
import sys
from textwrap import dedent

import psutil
import pytest
from celery import Celery
from support.harness import Process, eventually, fresh_number, stopped

from ringproof.celery import broker
from ringproof.celery.app import app
from ringproof.ledger.record import State
from ringproof.settings import Settings

WITHOUT_THE_SERVICE = """
import sys

class NoService:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"worker", "tasks"}:
            raise ModuleNotFoundError(f"{name} is not installed here")

sys.meta_path.insert(0, NoService())
"""

OWN_MODULES = {
    "tasks.py": "OWN = 'the tasks of the project'\n",
    "worker.py": "OWN = 'the worker of the project'\n",
}


@pytest.fixture
def producer_environ(redis_server):
    """The environment of a program that knows Redis, and nothing of Plivo's."""
    inherited = {name: value for name, value in os.environ.items() if name not in {*Settings.variables(), "PYTHONPATH"}}
    return inherited | {"RINGPROOF_REDIS_URL": redis_server.url}


@pytest.fixture
def run_project(tmp_path, producer_environ):
    """Write the files of a project and run its `main.py`; return what it printed."""

    def run_(files):
        for name, text in files.items():
            (tmp_path / name).write_text(dedent(text))
        done = subprocess.run(
            [sys.executable, "main.py"],
            cwd=tmp_path,
            env=producer_environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    return run_


@pytest.mark.usefixtures("plivo", "worker")
class TestTheLibraryAlone:
    """A program for which neither `worker` nor `tasks` can be imported."""

    def test_sends_a_code_and_confirms_it(self, run_project, plivo, ledger):
        number = fresh_number()
        program = """
        import json, pickle, sys, time, urllib.request
        from ringproof import confirm_verification, initiate_verification

        number, sandbox = {number!r}, {sandbox!r}
        sent = initiate_verification.delay(number, alias="Front desk")
        print(sent.get(timeout=30)["state"])
        with urllib.request.urlopen(sandbox + "/sandbox/sends?number=%2B" + number[1:]) as answer:
            code = json.load(answer)["sends"][0]["code"]
        print(confirm_verification.delay(number, code).get(timeout=30)["state"])
        print(initiate_verification.AsyncResult(number).get(timeout=30)["alias"].replace(" ", "_"))
        print(pickle.loads(pickle.dumps(sent)).id == sent.id)
        print(sorted({{"worker", "tasks"}} & sys.modules.keys()))
        """

        printed = run_project(
            {"main.py": WITHOUT_THE_SERVICE + dedent(program).format(number=number, sandbox=plivo.root)}
        )

        assert printed == ["code_sent", "verified", "Front_desk", "True", "[]"]
        assert ledger.read(number).state is State.VERIFIED

    def test_loads_neither_pydantic_nor_requests_to_send_a_message(self, run_project):
        program = f"""
        import sys
        from ringproof import initiate_verification

        print(initiate_verification.delay({fresh_number()!r}).get(timeout=30)["state"])
        print(sorted({{"pydantic", "requests", "rich", "phonenumbers.tzdata"}} & sys.modules.keys()))
        """

        assert run_project({"main.py": WITHOUT_THE_SERVICE + dedent(program)}) == ["code_sent", "[]"]

    def test_gets_the_typed_errors(self, run_project, plivo):
        program = """
        from ringproof import confirm_verification, initiate_verification
        from ringproof.errors import InDoubt, InvalidNumber, InvalidRequest, NothingPending

        for call, error in (
            (lambda: initiate_verification.delay("+1 415"), InvalidNumber),
            (lambda: initiate_verification.delay({silent!r}, channel="fax"), InvalidRequest),
            (lambda: initiate_verification({silent!r}), InvalidRequest),
            (lambda: confirm_verification.delay({silent!r}, "123456").get(timeout=30), NothingPending),
            (lambda: initiate_verification.delay({doubtful!r}).get(timeout=30), InDoubt),
        ):
            try:
                call()
            except error as raised:
                print(type(raised).__name__)
        """
        silent, doubtful = fresh_number(), fresh_number()
        plivo.befall("500_after", number=doubtful)

        printed = run_project(
            {"main.py": WITHOUT_THE_SERVICE + dedent(program).format(silent=silent, doubtful=doubtful)}
        )

        assert printed == ["InvalidNumber", "InvalidRequest", "InvalidRequest", "NothingPending", "InDoubt"]

    def test_has_all_of_the_ways_that_celery_has_to_enqueue(self, run_project, client):
        numbers = [fresh_number() for _ in range(3)]
        program = """
        from ringproof import initiate_verification

        first, second, third = {numbers!r}
        options = dict(queue="ringproof.bulk")
        initiate_verification.apply_async((first,), **options)
        initiate_verification.s(second).apply_async(**options)
        initiate_verification.signature((), dict(phone_number=third), **options).apply_async()
        for number in {numbers!r}:
            print(initiate_verification.AsyncResult(number).state)
        """

        printed = run_project({"main.py": WITHOUT_THE_SERVICE + dedent(program).format(numbers=numbers)})

        assert printed == ["QUEUED"] * 3
        assert client.llen("ringproof.bulk") >= 3
        client.delete("ringproof.bulk")

    def test_imports_a_roster(self, run_project, client):
        number = fresh_number()
        program = f"""
        from ringproof import import_roster

        print(import_roster([{number!r}], "from-a-program", paused=True).name)
        """

        assert run_project({"main.py": WITHOUT_THE_SERVICE + dedent(program)}) == ["from-a-program"]
        assert client.exists("ringproof:batch:from-a-program")


def test_both_spellings_in_one_process_are_the_same_tasks(run_project):
    program = """
    import ringproof, tasks
    from ringproof import confirm_verification, import_roster, initiate_verification
    from worker.celery import app

    print(tasks.initiate_verification is initiate_verification)
    print(tasks.confirm_verification is confirm_verification)
    print(tasks.import_roster is import_roster)
    print(app.tasks[initiate_verification.name] is app.tasks[tasks.initiate_verification.name])
    print(initiate_verification.app is app)
    """

    assert run_project({"main.py": program}) == ["True"] * 5


@pytest.mark.usefixtures("plivo", "worker")
class TestAProjectWithModulesOfTheSameNames:
    """A project whose own `tasks.py` and `worker.py` are the ones that its program imports."""

    def test_sends_from_flask(self, run_project):
        program = f"""
        from flask import Flask, request

        import tasks, worker
        from ringproof import initiate_verification
        from ringproof.errors import InvalidNumber

        web = Flask(__name__)

        @web.post("/verify")
        def verify():
            try:
                verification = initiate_verification.delay(request.form["phone"])
            except InvalidNumber as error:
                return dict(reason=error.reason), 422
            return dict(state=verification.get(timeout=30)["state"])

        browser = web.test_client()
        print(browser.post("/verify", data=dict(phone={fresh_number()!r})).json["state"])
        print(browser.post("/verify", data=dict(phone="+1 415")).status_code)
        print("project" in tasks.OWN, "project" in worker.OWN)
        """

        assert run_project(OWN_MODULES | {"main.py": program}) == ["code_sent", "422", "True", "True"]

    def test_sends_from_django(self, run_project):
        files = {
            "settings.py": """
            ROOT_URLCONF = "urls"
            ALLOWED_HOSTS = ["testserver"]
            SECRET_KEY = "test"
            """,
            "urls.py": """
            from django.http import JsonResponse
            from django.urls import path

            from ringproof import initiate_verification

            def verify(request):
                return JsonResponse(initiate_verification.delay(request.POST["phone"]).get(timeout=30))

            urlpatterns = [path("verify", verify)]
            """,
            "main.py": f"""
            import os

            os.environ["DJANGO_SETTINGS_MODULE"] = "settings"

            import django
            from django.test import Client

            import tasks, worker

            django.setup()
            print(Client().post("/verify", dict(phone={fresh_number()!r})).json()["state"])
            print("project" in tasks.OWN, "project" in worker.OWN)
            """,
        }

        assert run_project(OWN_MODULES | files) == ["code_sent", "True", "True"]

    def test_sends_from_a_task_of_its_own_celery_worker(self, producer_environ, redis_server, tmp_path, ledger, client):
        """Its worker has no credentials of Plivo's: only Ringproof's own workers need them."""
        number = fresh_number()
        (tmp_path / "worker.py").write_text(OWN_MODULES["worker.py"])
        (tmp_path / "tasks.py").write_text(
            dedent(f"""
            from celery import Celery

            import worker
            from ringproof import initiate_verification

            app = Celery("project", broker={redis_server.url!r}, backend={redis_server.url!r})

            @app.task
            def register(number):
                return initiate_verification.delay(number, alias="From a task").id
            """)
        )
        call = f"from tasks import register; print(register.delay({number!r}).get(timeout=60))"
        command = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "-l", "INFO", "-c", "1"]

        with stopped(Process(command, tmp_path / "log", producer_environ, tmp_path)) as own:
            own.until_logged(" ready.")
            done = subprocess.run(
                [sys.executable, "-c", call],
                cwd=tmp_path,
                env=producer_environ,
                capture_output=True,
                text=True,
                check=False,
                timeout=90,
            )
            assert done.stdout.startswith(f"{number}/"), done.stderr + own.log
        client.delete("celery")

        eventually(lambda: ledger.read(number).state is State.CODE_SENT)
        assert ledger.read(number).alias == "From a task"


@pytest.mark.usefixtures("worker")
def test_an_application_that_does_not_import_ringproof_sends_and_confirms_by_name(redis_server, plivo, client, ledger):
    number = fresh_number()
    with Celery("foreign", broker=redis_server.url, set_as_current=False) as foreign:
        to_the_interactive_queue = {"queue": "ringproof.interactive", "argsrepr": "(…)", "kwargsrepr": "{…}"}
        foreign.send_task("initiate_verification", [number], **to_the_interactive_queue)
        (send,) = eventually(lambda: plivo.sends(number))
        eventually(lambda: ledger.read(number).state is State.CODE_SENT)

        handle = secrets.token_hex(16)
        client.set(f"ringproof:code:{handle}", send["code"], ex=60)
        sent = foreign.send_task("confirm_verification", [number], {"handle": handle}, **to_the_interactive_queue)

        result = json.loads(eventually(lambda: client.get(f"celery-task-meta-{sent.id}")))
        assert result["status"] == "SUCCESS"
        assert result["result"]["state"] == "verified"


def test_the_channels_of_a_process_share_a_connection(redis_server):
    """A worker has several; and kombu would leave each of them a second connection, which most never use."""

    def connections():
        return sum(one.status == "ESTABLISHED" for one in psutil.Process().net_connections("tcp"))

    before = connections()
    with broker.Connection(redis_server.url) as connection:
        channels = [connection.channel() for _ in range(5)]
        for channel in channels:
            channel.queue_declare("ringproof.bulk")
        channels[0].close()
        channels[1].queue_declare("ringproof.bulk")

        assert connections() == before + 1


def test_settings_that_are_read_again_are_there_for_the_first_message():
    """Celery's own AMQP takes it for granted that somebody has used the settings by then: the message was lost."""
    app.read_settings_again()
    app.__dict__.pop("amqp", None)

    assert app.amqp.producer_pool
