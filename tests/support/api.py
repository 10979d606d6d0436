"""A program that calls the front door's API."""

import requests
from support.harness import PATIENCE_SECONDS


class Api(requests.Session):
    """A program that calls the API with one credential: `api.post("/verifications", json={…})`."""

    def __init__(self, url, token=None):
        super().__init__()
        self.trust_env = False
        self.url = url
        if token:
            self.headers["Authorization"] = f"Bearer {token.get_secret_value()}"

    def request(self, method, path, *args, **options):
        options.setdefault("timeout", PATIENCE_SECONDS)
        return super().request(method, self.url + path, *args, **options)

    def ask_for_code(self, number, **fields):
        """Have a code sent, and return the id of the request."""
        answer = self.post("/verifications", json={"phone_number": number, **fields})
        assert answer.status_code == 202, answer.text
        return answer.json()["id"]

    def sent(self, verification_id):
        """Wait until a code is sent, and return where the request stands."""
        return self.get(f"/verifications/{verification_id}", params={"wait": 30}).json()
