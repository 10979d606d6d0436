"""Plivo's SDK for Node, run for real. It is fetched once, into .venv; without Node or npm, its tests are skipped."""

import json
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

VERSION = "4.79.0"
FOLDER = Path(__file__).parents[2] / ".venv" / f"plivo-node-{VERSION}"
FETCH_SECONDS = 60

SCRIPT = """
const [url, id, token, operation, ...given] = process.argv.slice(1);
const plivo = require('plivo');
const client = new plivo.Client(id, token, {url: url + '/v1/Account/' + id});
const shown = error => ({error: String(error && error.message || error), name: error && error.name});
client.verify[operation](...given.map(JSON.parse)).then(
  answer => console.log(JSON.stringify({answer})),
  error => console.log(JSON.stringify(shown(error))),
).then(() => process.exit(0));
"""


@cache
def why_not_installed() -> str:
    """Why there is no SDK; "" if it is in its folder, perhaps from now on."""
    if not shutil.which("node") or not shutil.which("npm"):
        return "Node or npm is not installed"
    if not (FOLDER / "node_modules" / "plivo").exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        fetch = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(FOLDER)]
        try:
            subprocess.run([*fetch, f"plivo@{VERSION}"], check=True, capture_output=True, timeout=FETCH_SECONDS)
        except (subprocess.SubprocessError, OSError) as error:
            return f"npm cannot fetch Plivo's SDK: {type(error).__name__}"
    return ""


def call(url: str, auth_id: str, token: str, operation: str, *given: Any) -> dict[str, Any]:
    """Call one operation of the SDK: what it resolves to, as `answer`, or its `error`."""
    if reason := why_not_installed():
        pytest.skip(reason)
    command = ["node", "-e", SCRIPT, url, auth_id, token, operation, *map(json.dumps, given)]
    done = subprocess.run(command, cwd=FOLDER, check=True, capture_output=True, text=True, timeout=60)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
