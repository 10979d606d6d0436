"""Histories: whatever users, operators, workers, Plivo and clocks may do, in any order.

The program's own workers, sweep and feeder run over the real scripts, in virtual time, against a strict Plivo. A seed
makes each history.
"""

import random
import secrets
from collections import defaultdict
from datetime import timedelta
from typing import Any

from promises_kept import NEWCOMER_SECONDS, broken, broken_at_plivo
from strict_plivo import CODE_SECONDS, StrictPlivo, Weather
from support.harness import AUTH_ID, AUTH_TOKEN, fresh_number
from support.roster_of_batch import import_rows
from support.simulation import REDIS_CLOCK
from virtual_time import Process, VirtualTime
from virtual_workers import LedgerInTime, Workers

from ringproof.batches import erasure, operations
from ringproof.batches.summary import batch_summary
from ringproof.events.outbox import READERS
from ringproof.ledger import control, plivo_list, queues
from ringproof.ledger.acceptance import Disposition, RequestKind
from ringproof.ledger.confirmation import store_code
from ringproof.ledger.plivo_list import ListScan
from ringproof.ledger.queues import queue
from ringproof.ledger.record import Lane
from ringproof.plivo.client import PlivoClient
from ringproof.policy import Policy, Rate
from ringproof.secret_str import SecretStr
from tasks import feeder, sweep

RATE = Rate.parse("3/1s")  # so slow that a few numbers fill a window
CALL_RATE = Rate.parse("1/1s")
LEASE_SECONDS = 50.0  # after the death of a worker that was probing, all others wait for the end of its lease
PROBED_SECONDS = 25.0  # an answer 402 that was under way when all got well pauses sending for 30 s, until the probe
BEAT_SECONDS = 3.0  # it is 1 s: fewer ticks leave time for more histories
JUMPS = [-3600.0, -20.0, -1.0, 1.0, 20.0, 3600.0]
COUNTRIES = {"+1": "US", "+49": "DE", "+44": "GB"}


def number_in(prefix: str) -> str:
    """Return a valid number that no other test has."""
    line = fresh_number()[-7:]
    return {"+1": f"+1415{line}", "+49": f"+491512{line}", "+44": f"+44740{line}"}[prefix]


class History:
    """One history, made by a seed."""

    def __init__(self, client: Any, monkeypatch: Any, seed: int) -> None:
        self.client, self.chance = client, random.Random(seed)
        self.said: list[str] = []
        self.ahead = 0.0  # of Redis' clock
        self.jumps: list[tuple[float, float]] = []
        self.time = VirtualTime()
        self.ledger = LedgerInTime(client, prefix=f"t{secrets.token_hex(4)}", clock=REDIS_CLOCK)
        self.ledger.clock_us = lambda: self.epoch_us_of(self.time.now)
        policy = Policy(rate=RATE, call_rate=CALL_RATE, range_codes_per_hour=0, max_codes_per_day=5)
        self.ledger.publish_policy(policy)
        self.client.hset(self.ledger.keys.consumers, f"{READERS}:seen", self.epoch_us_of(0) // 1000)
        self.plivo = StrictPlivo(self.time, self.chance, RATE.number, float(RATE.window_seconds))
        self.workers = Workers(self.time, self.ledger, self.chance)
        client_of_plivo = PlivoClient(AUTH_ID, SecretStr(AUTH_TOKEN))
        client_of_plivo.close()
        client_of_plivo._transport = self.plivo
        self.workers.stand_in(client_of_plivo, monkeypatch)
        self.numbers = [
            number_in(self.chance.choice(list(COUNTRIES))) for _ in range(self.chance.choice([1, 2, 2, 3, 6]))
        ]
        self.newcomer, self.newcomers_code = number_in("+1"), None
        self.hurt_at = 0.0
        self.batches: dict[str, list[str]] = {}
        self.requests: dict[str, list[int]] = defaultdict(list)
        self.resends: dict[str, list[float]] = defaultdict(list)
        self.asked: dict[str, float] = {}  # by persons; when last
        self.cancelled: set[str] = set()
        self.erasures: dict[str, list[float]] = defaultdict(list)
        self.ticking, self.next_beat = True, self.time.now

    def epoch_us_of(self, now: float) -> int:
        return 1_800_000_000_000_000 + int((now + self.ahead) * 1e6)

    def pass_(self, seconds: float) -> None:
        """Let time pass, with its beats."""
        until = self.time.now + seconds
        while (left := until - self.time.now) > 0:
            self.time.run(min(left, max(self.next_beat - self.time.now, 0.0)))
            if self.time.now >= self.next_beat:
                self.next_beat = self.time.now + BEAT_SECONDS
                self.beat()

    def beat(self) -> None:
        self.time.start(Process("main"), self.workers.check_credentials)
        if self.ticking and not self.workers.messages[queues.TICKS]:
            self.workers.send(sweep.SWEEP, queue=queues.TICKS)
            if self.batches:
                self.workers.send(feeder.FEED, queue=queues.TICKS)

    # ------------------------------------------------------------------ moves

    def say(self, *words: object) -> None:
        self.said.append(f"{self.time.now:9.2f} " + " ".join(map(str, words)))

    def move(self) -> None:
        """Something happens, and a little time passes."""
        moves = {
            self.person: 6, self.roster: 3, self.confirm: 4, self.cancel: 1, self.erase: 0.5, self.pause: 0.7,
            self.resume: 1.5, self.limits: 0.4, self.batch: 1.5, self.weather: 1.5, self.calm: 1, self.kill: 1,
            self.freeze: 1, self.stop: 0.5, self.jump: 0.5, self.sync: 0.3, self.no_beat: 0.3,
        }  # fmt: skip
        (move,) = self.chance.choices(list(moves), list(moves.values()))
        move()
        self.pass_(self.chance.choice([0.0, 0.05, 0.3, 1.0, 1.0, 3.0, 10.0]))
        if self.chance.random() < 0.05:
            self.pass_slowly(self.chance.choice([70.0, 600.0, 960.0]))

    def one(self) -> str:
        return self.chance.choice(self.numbers)

    def person(self) -> None:
        """A person asks for a code, perhaps for another one."""
        kind = RequestKind.RESEND if self.chance.random() < 0.4 else RequestKind.PERSON
        self.ask(self.one(), kind, self.chance.choice(["sms", "sms", "sms", "call"]))

    def ask(self, number: str, kind: RequestKind, channel: str) -> None:
        accepted = self.ledger.accept(
            number, token=secrets.token_hex(8), kind=kind, channel=channel, country=self.country(number)
        )
        self.say("person", number, kind, channel, accepted.disposition)
        if accepted.disposition is Disposition.ACCEPTED or accepted.promoted:
            self.asked[number] = self.time.now
            self.requests[number].append(accepted.request)
            if accepted.disposition is Disposition.ACCEPTED and kind is RequestKind.RESEND:
                self.resends[number].append(self.time.now)
            if number == self.newcomer or self.chance.random() < 0.9:  # or the producer died before it sent the message
                for _ in range(self.chance.choice([1, 1, 1, 2])):
                    name = "initiate_verification"
                    self.workers.send(name, (number,), {"request": accepted.request}, queue=queue(Lane.INTERACTIVE))

    def country(self, number: str) -> str:
        return next(country for prefix, country in COUNTRIES.items() if number.startswith(prefix))

    def roster(self) -> None:
        """A batch is imported."""
        if len(self.batches) == 5:
            return
        name = f"b{len(self.batches)}"
        numbers = self.chance.sample(self.numbers, self.chance.randint(1, len(self.numbers)))
        self.batches[name] = numbers
        rows = [{"phone": number, "channel": self.chance.choice(["sms", "sms", "call"])} for number in numbers]
        paused = self.chance.random() < 0.1
        self.say("roster", name, *numbers, "paused" if paused else "")
        import_rows(self.ledger, name, rows, paused=paused)

    def confirm(self) -> None:
        """A person enters a code: the right one mostly."""
        sent = [number for number in self.numbers if self.plivo.codes[number]]
        if not sent:
            return
        number = self.chance.choice(sent)
        code = self.plivo.codes[number][-1]
        right = self.chance.random() < 0.8
        self.say("confirm", number, "right" if right else "wrong")
        if right and self.chance.random() < 0.1 and code.lives(self.time.now):
            self.plivo.verify(number, code)  # elsewhere: at Plivo's own page
            return
        handle = store_code(self.ledger, SecretStr(code.digits if right else "0000"))
        for _ in range(self.chance.choice([1, 1, 2])):
            self.workers.send("confirm", (number, handle), queue=queue(Lane.INTERACTIVE))

    def cancel(self) -> None:
        number = self.one()
        record = self.ledger.read(number)
        if record:
            self.say("cancel", number, self.ledger.cancel(number, record.request))
            self.cancelled.add(number)

    def erase(self) -> None:
        number = self.one()
        self.say("erase", number)
        erasure.erase_number(self.ledger, number)
        self.erasures[number].append(self.time.now)

    def pause(self) -> None:
        lane = self.chance.choice([None, Lane.BULK, Lane.INTERACTIVE])
        self.say("pause", lane)
        control.pause(self.ledger, lane)

    def resume(self) -> None:
        self.say("resume")
        for lane in (None, *Lane):
            control.resume(self.ledger, lane)

    def limits(self) -> None:
        if self.chance.random() < 0.4:
            self.say("limits reset")
            control.restore_rates(self.ledger)
        else:
            rate = self.chance.choice(["1/1s", "2/1s", "1/5s"])
            lasts = timedelta(seconds=self.chance.choice([5, 60, 3600]))
            self.say("limits", rate, lasts)
            control.override_rates(self.ledger, lasts, rate=Rate.parse(rate))

    def batch(self) -> None:
        if self.batches:
            name = self.chance.choice(list(self.batches))
            move = self.chance.choice([operations.pause, operations.resume, operations.resume, operations.cancel, None])
            if move is None:
                self.say("retry", name)
                operations.retry(self.ledger, name, ["rejected", "in_doubt", "unreachable", "too_late", "forbidden"])
                return
            self.say(move.__name__, name)
            move(self.ledger, name)
            if move is operations.cancel:
                self.cancelled |= set(self.batches[name])

    def weather(self) -> None:
        weather = self.plivo.weather
        kind = self.chance.choice(
            ["countries", "credentials", "credit", "reach", "path", "chances", "chances", "chances"]
        )
        if kind == "countries":
            weather.refused_countries = set(self.chance.sample(list(COUNTRIES), self.chance.randint(1, 3)))
        elif kind == "credentials":
            weather.knows_credentials = False
        elif kind == "credit":
            weather.has_credit = False
        elif kind == "reach":
            weather.is_reachable = False
        elif kind == "path":
            weather.path_is_right = False
        else:
            names = ["500", "500-sent", "400", "429", "503", "lost", "lost-sent"]
            few = self.chance.sample(names, self.chance.randint(1, 3))
            weather.chances = {name: self.chance.choice([0.1, 0.3]) for name in few}
        self.say("weather", weather)

    def calm(self) -> None:
        self.say("calm")
        self.plivo.weather = Weather()

    def kill(self) -> None:
        self.say("kill")
        self.hurt_at = max(self.hurt_at, self.time.now)
        self.workers.kill()
        self.time.start(Process("broker"), self.workers.look)

    def freeze(self) -> None:
        seconds = self.chance.choice([0.02, 0.5, 3.0, 30.0, 70.0])
        self.say("freeze", seconds)
        self.hurt_at = max(self.hurt_at, self.time.now + seconds)
        self.workers.freeze(seconds)

    def stop(self) -> None:
        self.say("stop")
        self.workers.stop()

    def jump(self) -> None:
        """Redis' clock is set, or another Redis takes over whose clock is another."""
        by = self.chance.choice(JUMPS)
        self.say("jump", by)
        self.jumps.append((self.time.now, by))
        self.ahead += by

    def sync(self) -> None:
        self.say("sync")
        plivo_list.request_scan(self.ledger, ListScan.SYNC)

    def no_beat(self) -> None:
        self.say("no beat" if self.ticking else "beat")
        self.ticking = not self.ticking

    # ------------------------------------------------------------------ the end

    def pass_slowly(self, seconds: float) -> None:
        """Let much time pass, with a beat at the moments at which something is due."""
        until = self.time.now + seconds
        while self.time.now < until and not broken_at_plivo(self):
            due = self.client.zrange(self.ledger.keys.agenda, 0, 0, withscores=True)
            next_us = int(due[0][1]) * 1000 if due else None
            wait = (next_us - self.epoch_us_of(self.time.now)) / 1e6 if next_us else seconds
            self.time.run(min(max(wait - 1, 0.0), until - self.time.now))
            self.pass_(2.5)

    def end(self) -> None:
        """All is well again, and enough time passes."""
        self.calm()
        self.resume()
        for name in self.batches:
            operations.resume(self.ledger, name)
        control.restore_rates(self.ledger)
        self.ticking = True
        self.say("the end begins")
        self.pass_(max(12.0, self.hurt_at + LEASE_SECONDS - self.time.now))
        until = self.time.now + PROBED_SECONDS
        while self.time.now < until and control.sending_status(self.ledger).pauses:
            self.pass_(0.5)
        self.ask(self.newcomer, RequestKind.PERSON, "sms")
        until = self.time.now + NEWCOMER_SECONDS
        while self.time.now < until and not self.newcomers_code:
            self.pass_(0.5)
            self.newcomers_code = self.plivo.code_alive(self.newcomer)
        for _ in range(60):
            if not self.client.zcard(self.ledger.keys.agenda) and all(map(self.is_done, self.batches)):
                break
            self.pass_slowly(1800.0)
        self.pass_slowly(CODE_SECONDS + 60.0)  # an erased code of before a jump may count as live for so long
        self.sync()
        self.pass_(8.0)

    def is_done(self, name: str) -> bool:
        return not batch_summary(self.ledger, name).unfinished


def play(client: Any, monkeypatch: Any, seed: int, moves: int = 25) -> History:
    """Play one history to its end. Raises AssertionError with what happened if a promise was broken."""
    history = History(client, monkeypatch, seed)
    problems: list[str] = []
    try:
        for _ in range(moves):
            history.move()
            if problems := broken_at_plivo(history):
                break
        if not problems:
            history.end()
            problems = broken(history)
    except BaseException as error:
        error.add_note(f"seed {seed}:\n" + "\n".join(history.said))
        raise
    finally:
        history.time.close()
    assert not problems, f"seed {seed}:\n" + "\n".join([*problems, "", *history.said])
    return history
