"""A person at the live page, without a browser: a session with a cookie, and forms with the token of the page."""

import html
import json
import re

import requests
from support.harness import PATIENCE_SECONDS


class Visitor(requests.Session):
    """A person who has opened the page of a front door at `url`: `visitor.submit("/page/batches/spring/pause")`."""

    def __init__(self, url):
        super().__init__()
        self.trust_env = False
        self.url = url

    def request(self, method, path, *args, **options):
        options.setdefault("timeout", PATIENCE_SECONDS)
        return super().request(method, path if "://" in path else self.url + path, *args, **options)

    def log_in(self, issued, **options):
        """Log in with a credential."""
        fields = {"auth_id": issued.credential.auth_id, "token": issued.token.get_secret_value()}
        return self.post("/page/login", data=fields, **options)

    @property
    def csrf(self):
        return re.search(r'name="csrf" value="(\w+)"', self.get("/").text)[1]

    def submit(self, path, **fields):
        """Send a form of the page; the answer is that of the page to which it leads."""
        return self.post(path, data={"csrf": self.csrf, **fields})

    def upload(self, content, filename="people.csv", **fields):
        """Have a roster read, and return the page with the forecast."""
        return self.post("/page/import", data={"csrf": self.csrf, **fields}, files={"roster": (filename, content)})

    def import_(self, content, filename="people.csv", **fields):
        """Import a roster as a person does, in two steps; return the batch's page."""
        forecast = self.upload(content, filename, **fields)
        upload = re.search(r'name="upload" value="([\w-]+)"', forecast.text)
        assert upload, texts(forecast)
        return self.submit("/page/import/yes", upload=upload[1])

    def events(self, path):
        """Yield the events of a stream, as names and data; "nothing" each second without one."""
        with self.get(path, stream=True) as answer:
            assert answer.headers["Content-Type"].startswith("text/event-stream"), answer.text
            for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    yield name, json.loads(line.removeprefix("data: "))
                elif line.startswith(":"):
                    yield "nothing", {}


def texts(answer):
    """What a person reads on a page, without the marks, in one line."""
    body = answer.text if hasattr(answer, "text") else answer
    body = re.sub(r"<(svg|head|script)\b.*?</\1>", " ", body, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())
