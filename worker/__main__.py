"""`python -m worker`: the `ringproof` command."""

from worker.cli import main

if __name__ == "__main__":
    main(prog_name="ringproof")
