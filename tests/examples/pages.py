"""The pages of the three applications, as one user's browser has them: the same four steps, whatever the framework."""

import importlib
import os
from dataclasses import dataclass

NAME = os.environ["EXAMPLE"]
"""The folder of the application: `flask`, `django` or `fastapi`."""


@dataclass(frozen=True)
class Answer:
    """What a browser gets."""

    status: int
    body: dict
    headers: dict

    @property
    def sentence(self):
        """What the user reads if something went wrong."""
        errors = self.body.get("errors") or {}
        return self.body.get("error") or next(iter(errors.values()), [None])[0]


def json_answer(answer, read):
    return Answer(
        answer.status_code, read() if "json" in answer.headers.get("content-type", "") else {}, answer.headers
    )


class FlaskPage:
    """A browser at the application of examples/flask."""

    module = "flask_app"

    def __init__(self):
        self.client = importlib.import_module(self.module).app.test_client()

    def post(self, path, body):
        answer = self.client.post(path, json=body)
        return json_answer(answer, lambda: answer.json)

    def ask(self, number):
        return self.post("/phone", {"phone": number})

    def resend(self):
        return self.post("/phone", {"resend": True})

    def state(self):
        answer = self.client.get("/phone")
        return json_answer(answer, lambda: answer.json)

    def enter(self, code):
        return self.post("/phone/code", {"code": code})


class FastapiPage(FlaskPage):
    """A browser at the application of examples/fastapi."""

    module = "fastapi_app"

    def __init__(self):
        from fastapi.testclient import TestClient  # noqa: PLC0415  # for this application alone

        self.client = TestClient(importlib.import_module(self.module).app)

    def post(self, path, body):
        answer = self.client.post(path, json=body)
        return json_answer(answer, answer.json)

    def state(self):
        answer = self.client.get("/phone")
        return json_answer(answer, answer.json)


class DjangoPage:
    """A browser at the project of examples/django: the first number that it asks for is that of its sign-up."""

    module = "accounts.views"
    users = 0

    def __init__(self):
        from django.test import Client  # noqa: PLC0415  # for this application alone

        self.client = Client()
        self.has_signed_up = False

    def post(self, path, form):
        answer = self.client.post(path, form)
        return json_answer(answer, answer.json)

    def ask(self, number):
        if self.has_signed_up:
            return self.post("/phone", {})
        DjangoPage.users += 1
        answer = self.post("/sign-up", {"username": f"user{self.users}", "password": "p", "phone": number})
        self.has_signed_up = answer.status == 201
        return answer

    def resend(self):
        return self.post("/phone", {"resend": "yes"})

    def state(self):
        answer = self.client.get("/phone/state")
        return json_answer(answer, answer.json)

    def enter(self, code):
        return self.post("/phone/code", {"code": code})


Page = {"flask": FlaskPage, "fastapi": FastapiPage, "django": DjangoPage}[NAME]
