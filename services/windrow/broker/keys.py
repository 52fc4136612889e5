"""Every Redis key Windrow uses, by name. docs/keys-and-events.md says what each holds."""

from __future__ import annotations

from dataclasses import dataclass

SEPARATOR = "\x06\x16"
PRIORITY_STEPS = (0, 3, 6, 9)
BINDINGS = "_kombu.binding."


def _key(name: str) -> property:
    return property(lambda self: f"{self.prefix}{name}", doc=f"`{name}`")


@dataclass(frozen=True)
class Keys:
    """The keys of one platform; `prefix` is kombu's `global_keyprefix`."""

    prefix: str = ""

    workers = _key("windrow:workers")
    epochs = _key("windrow:epochs")
    beats = _key("windrow:beats")
    exited = _key("windrow:exited")
    drain = _key("windrow:drain")
    gone = _key("windrow:gone")
    queues = _key("windrow:queues")
    revoked = _key("windrow:revoked")
    revoked_version = _key("windrow:revoked:version")
    recoveries = _key("windrow:recoveries")
    held = _key("windrow:held")
    spent = _key("windrow:spent")
    spent_before = _key("windrow:spent:before")
    run = _key("windrow:run")
    settling = _key("windrow:settling")
    marker = _key("windrow:marker")
    events = _key("windrow:events")
    most_events = _key("windrow:events:most")
    behind = _key("windrow:events:behind")
    no_logs = _key("windrow:events:no_logs")
    leader = _key("windrow:leader")
    server = _key("windrow:server")
    servers = _key("windrow:servers")
    decisions = _key("windrow:decisions")
    scaling = _key("windrow:scaling")
    refused = _key("windrow:refused")
    untold = _key("windrow:untold")

    def inflight(self, worker: str) -> str:
        """The messages a worker has taken and not finished."""
        return f"{self.prefix}windrow:inflight:{worker}"

    def started(self, worker: str) -> str:
        """Those of them whose bodies have started."""
        return f"{self.prefix}windrow:started:{worker}"

    def sent(self, owner: str) -> str:
        """What an execution, or a chord's group, has published of what follows it."""
        return f"{self.prefix}windrow:sent:{owner}"

    def delayed(self, queue: str) -> str:
        """When each delayed message of a queue is due."""
        return f"{self.prefix}windrow:delayed:{queue}"

    def delayed_messages(self, queue: str) -> str:
        """The delayed messages themselves."""
        return f"{self.prefix}windrow:delayed:{queue}:messages"

    def queue(self, queue: str) -> str:
        """What people and specs set for a queue."""
        return f"{self.prefix}windrow:queue:{queue}"

    def rate(self, queue: str) -> str:
        """The state of a queue's rate limit."""
        return f"{self.prefix}windrow:rate:{queue}"

    def idle(self, queue: str) -> str:
        """A queue's workers that wait for their bells."""
        return f"{self.prefix}windrow:idle:{queue}"

    def listener(self, queue: str) -> str:
        """Which worker of a queue hears the next push."""
        return f"{self.prefix}windrow:listener:{queue}"

    def quarantine(self, queue: str) -> str:
        """Messages of a queue whose attempts died with their processes twice: each runs alone in its worker."""
        return f"{self.prefix}windrow:quarantine:{queue}"

    def clearing(self, queue: str) -> str:
        """Which worker of a queue makes room for a message in quarantine."""
        return f"{self.prefix}windrow:clearing:{queue}"

    def bell(self, worker: str) -> str:
        """The channel that wakes one worker."""
        return f"{self.prefix}windrow:bell:{worker}"

    def ready(self, queue: str) -> list[str]:
        """The lists of a queue, one for each priority step, in the order in which they are taken from."""
        return [self.step(queue, step) for step in PRIORITY_STEPS]

    def of_sync(self, worker: str, queue: str) -> list[str]:
        """The keys of the script `sync`, in its order."""
        return [
            self.epochs, self.inflight(worker), self.started(worker), self.events, self.drain, self.queue(queue),
            self.delayed(queue), self.delayed_messages(queue), self.revoked_version, self.recoveries, self.rate(queue),
            *self.ready(queue), self.idle(queue), self.listener(queue), self.held, self.spent, self.spent_before,
            self.settling, self.quarantine(queue), self.clearing(queue),
        ]  # fmt: skip

    def of_cancel(self) -> list[str]:
        """The keys of the script `cancel`, in its order, before those of queues."""
        return [self.events, self.recoveries, self.held, self.spent]

    def step(self, queue: str, step: int) -> str:
        """The list of one priority step of a queue: Celery's own layout."""
        return f"{self.prefix}{queue}{SEPARATOR}{step}" if step else f"{self.prefix}{queue}"


def step_of(priority: int | None) -> int:
    """The priority step (0, 3, 6 or 9) that a message's priority belongs to, as kombu rounds it."""
    value = min(max(priority or 0, 0), 9)
    return max(step for step in PRIORITY_STEPS if step <= value)


def stored(step: int, queue: str, message: str | bytes) -> bytes:
    """A message as the in-flight and delayed sets hold it: a digit for the step, the queue, a line end, the message."""
    body = message.encode() if isinstance(message, str) else message
    return f"{step}{queue}\n".encode() + body


def unstored(value: bytes) -> tuple[int, str, bytes]:
    """The step, queue and message of what `stored` made."""
    head, _, message = value.partition(b"\n")
    return int(head[:1]), head[1:].decode(), message


HANDED_ON = b"~"
"""Stands in an in-flight set where a retry has taken its message's place and the worker has not said so yet."""
