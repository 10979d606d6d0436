"""Runs a command, and writes how many seconds it took and its peak memory in MB: `python peak.py FILE COMMAND…`.

A small process of its own, since what Linux tells of a child's memory begins with what its parent had at the fork.
"""

import resource
import subprocess
import sys
import time
from pathlib import Path

began = time.perf_counter()
done = subprocess.run(sys.argv[2:], check=False)
seconds = time.perf_counter() - began
megabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
Path(sys.argv[1]).write_text(f"{seconds} {megabytes}")
sys.exit(done.returncode)
