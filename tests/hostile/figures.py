"""What do bystanders notice of an attack, and how much of that is too much?"""

from __future__ import annotations

from dataclasses import dataclass, field

#: Longest silence that an attack may cause, in seconds, and most bytes that the processes may come to hold.
MOST_SILENCE = 0.5
MOST_MEMORY = 64 * 2**20
#: What bystanders wait for: /healthz, a pong, the acknowledgement of a message or a chat, a reply's first token.
WAITS = ("healthz", "pong", "ack", "first token")


@dataclass
class Figures:
    """What was seen from a run's begin to its end."""

    #: The longest silences, in seconds, by what was waited for.
    silences: dict[str, float] = field(default_factory=dict)
    #: How many bytes more the server's processes held at most than at the begin: memory and temporary files.
    memory: int = 0
    #: The most that processes held which these started, in bytes.
    children: int = 0
    #: What bystanders were refused, and who was cut.
    problems: list[str] = field(default_factory=list)
    #: By how much the bystanders themselves were late, in seconds: the machine is busy.
    late: float = 0.0

    @property
    def is_quiet(self) -> bool:
        """Whether nothing here is over the bounds: what a run without an attack should be."""
        return not self.problems and self.memory <= MOST_MEMORY and max(self.silences.values()) <= MOST_SILENCE


def excess(attack: Figures, control: Figures) -> list[str]:
    """What of the attack is over the bounds beyond what as many harmless bytes cost as well, and who was refused."""
    told = [
        f"{name} silent for {seconds:.1f} s, {control.silences[name]:.1f} s without the attack"
        for name, seconds in attack.silences.items()
        if seconds - control.silences[name] > MOST_SILENCE
    ]
    if attack.memory - max(0, control.memory) > MOST_MEMORY:
        told.append(f"holds {mib(attack.memory)} MiB more, {mib(control.memory)} without the attack")
    return told + attack.problems


def mib(size: int) -> int:
    """Bytes as whole MiB."""
    return round(size / 2**20)
