"""A process as a hardened container runs it, without an engine: nothing can be written, and its user has no name.

It needs root and Linux' namespaces: `unshare` and `setpriv` of util-linux.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

UID = 12345
"""A user that no /etc/passwd has, as OpenShift gives each project one."""

_SCRIPT = """
mount --make-rprivate /
for place in $(awk '{print $5}' /proc/self/mountinfo | sort -u); do mount -o remount,bind,ro "$place" 2>/dev/null; done
for place in $WRITABLE; do mount -t tmpfs -o size=64m,mode=1777 none "$place" || exit 1; done
cd /
exec env -u HOME -u TMPDIR -u USER -u LOGNAME setpriv --reuid "$USER_ID" --regid 0 --clear-groups --bounding-set -all \
    --inh-caps -all --no-new-privs "$@"
"""


def missing() -> str:
    """Return what this machine lacks; empty if it can contain a process."""
    if os.geteuid() != 0:
        return "only root can make what a process sees read-only"
    if not (shutil.which("unshare") and shutil.which("setpriv")):
        return "there is no unshare, or no setpriv"
    tried = subprocess.run(["unshare", "-mpf", "true"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "namespaces are not allowed here"


def contained(*command: str, writable: tuple[str, ...] = ("/dev/shm",)) -> list[str]:  # noqa: S108
    """Return the command that runs a command so. An engine gives each container a /dev/shm of its own."""
    setting = [f"WRITABLE={' '.join(writable)}", f"USER_ID={_user()}"]
    return ["env", *setting, "unshare", "-m", "sh", "-c", _SCRIPT, "sh", *command]


def first_process(*command: str) -> list[str]:
    """Return the command that runs a command as the first process of a container."""
    return ["unshare", "-pf", "--kill-child", "--mount-proc", *command]


def _user() -> int:
    """Another user if it can reach this Python, which may be in root's home; otherwise root, without its rights."""
    folders = Path(sys.executable).resolve().parents
    return UID if all(folder.stat().st_mode & 0o005 == 0o005 for folder in folders) else 0
