"""Draw docs/how-it-works/slots-and-lanes.svg from the slots that the real scripts give out.

The script runs the real Lua files in a real Redis, in simulated time, and draws each slot that they reserve.

    python tests/docs/pace_picture.py            write the picture
    python tests/docs/pace_picture.py --check    exit 1 if the picture is not current
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import redis
from support.simulation import SECOND, Simulation

from ringproof.ledger.record import Lane
from worker.local.processes.redis_server import RedisServer

PICTURE = Path(__file__).parents[2] / "docs" / "how-it-works" / "slots-and-lanes.svg"

RATE = "20/1s"  # slow enough that each slot can be seen
SECONDS = 4.9

THREE_PEOPLE = [0.70, 0.72, 0.74]
SCHEDULE_STARTS = 1.35
CROWD = [2.15 + n * 0.05 for n in range(40)]  # 20 people a second, where a second has 19 slots

LEFT, WIDTH, RIGHT, HEIGHT = 108, 840, 20, 262
ROWS = {Lane.INTERACTIVE: 112, Lane.SCHEDULED: 154, Lane.BULK: 196}
ASKED_Y, BOX_WIDTH, BOX_HEIGHT = 84, 6, 24

STYLE = """
.card { fill: #ffffff; stroke: #d0d7de }
.ink { fill: #1f2328 }
.soft { fill: #57606a }
.line { stroke: #d0d7de }
.interactive { fill: #0969da }
.scheduled { fill: #1a7f37 }
.bulk { fill: #9a6700 }
.wait { stroke: #0969da; stroke-width: 0.8; opacity: 0.45 }
@media (prefers-color-scheme: dark) {
  .card { fill: #161b22; stroke: #30363d }
  .ink { fill: #e6edf3 }
  .soft { fill: #9da7b3 }
  .line { stroke: #30363d }
  .interactive { fill: #58a6ff }
  .scheduled { fill: #3fb950 }
  .bulk { fill: #d29922 }
  .wait { stroke: #58a6ff }
}
text { font-family: system-ui, sans-serif; font-size: 12px }
"""

PHASES = (
    (0.0, 0.66, "bulk alone", "takes every slot"),
    (0.70, 1.15, "three people ask", "and go first"),
    (1.44, 1.86, "the schedule", "goes before bulk"),
    (2.25, 4.55, "more people ask than there are slots:", "bulk still gets about one slot in ten"),
)


def slots_given(client):
    """Run the scenario and return when people ask, and the slots of each lane; in seconds from its start."""
    simulation = Simulation(client, RATE)
    start = simulation.now_us
    simulation.booker(simulation.numbers(90))
    simulation.booker(simulation.numbers(8, Lane.SCHEDULED), Lane.SCHEDULED, start + int(SCHEDULE_STARTS * SECOND))
    for asked in THREE_PEOPLE + CROWD:
        simulation.person(start + int(asked * SECOND))
    simulation.run(start + int(SECONDS * SECOND))
    return {lane: [(slot - start) / SECOND for slot in sorted(slots)] for lane, slots in simulation.slots.items()}


def draw(client):
    """Return the picture as SVG."""
    slots = slots_given(client)
    size = f"0 0 {LEFT + WIDTH + RIGHT} {HEIGHT}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{size}" role="img" aria-labelledby="title">',
        '<title id="title">The slots of the pace at 20 requests a second, and the lane that gets each</title>',
        f"<style>{STYLE}</style>",
        f'<rect class="card" x="0.5" y="0.5" width="{LEFT + WIDTH + RIGHT - 1}" height="{HEIGHT - 1}" rx="6"/>',
    ]
    for begins, ends, first, second in PHASES:
        middle = (x(begins) + x(ends)) / 2
        parts += [
            text(middle, 24, first, "ink", "middle"),
            text(middle, 40, second, "soft", "middle"),
            f'<path class="line" fill="none" d="M{x(begins):.1f} 54v-6H{x(ends):.1f}v6"/>',
        ]
    parts.append(text(LEFT - 14, ASKED_Y + 4, "a person asks", "soft", "end"))
    for asked, slot in zip(THREE_PEOPLE + CROWD, slots[Lane.INTERACTIVE], strict=True):
        parts += [
            f'<circle class="interactive" cx="{x(asked):.1f}" cy="{ASKED_Y}" r="2"/>',
            f'<path class="wait" d="M{x(asked):.1f} {ASKED_Y + 3}L{x(slot):.1f} {ROWS[Lane.INTERACTIVE] - 1}"/>',
        ]
    for lane, top in ROWS.items():
        parts.append(text(LEFT - 14, top + 16, lane, "ink", "end"))
        parts.append(f'<path class="line" d="M{LEFT} {top + BOX_HEIGHT + 1.5}h{WIDTH}"/>')
        parts += [
            f'<rect class="{lane}" x="{x(slot) - BOX_WIDTH / 2:.1f}" y="{top}" width="{BOX_WIDTH}" '
            f'height="{BOX_HEIGHT}" rx="1.5"/>'
            for slot in slots[lane]
            if slot <= SECONDS
        ]
    for second in range(int(SECONDS) + 1):
        parts.append(text(x(second), HEIGHT - 18, f"{second} s", "soft", "middle"))
    return "\n".join([*parts, "</svg>", ""])


def x(seconds):
    """Return where a moment is in the picture."""
    return LEFT + 6 + seconds / SECONDS * (WIDTH - 12)


def text(at, y, words, style, anchor):
    """Return a line of text."""
    return f'<text class="{style}" x="{at:.1f}" y="{y}" text-anchor="{anchor}">{words}</text>'


def main():
    """Write the picture, or check it."""
    with RedisServer() as server, redis.Redis.from_url(server.url, decode_responses=True) as client:
        drawn = draw(client)
    if "--check" not in sys.argv:
        PICTURE.write_text(drawn)
    elif PICTURE.read_text() != drawn:
        sys.exit(f"{PICTURE.name} is not current; write it with: python {sys.argv[0]}")


if __name__ == "__main__":
    main()
