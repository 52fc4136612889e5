"""How many workers a queue needs: the policy, and the simulator that replays arrivals through it.

Pure: no clock, no I/O. Time is a number in what is observed, so the running platform, the simulator and the tests drive the
very same functions.
"""

from windrow.scaling.choice import choose_victims, choose_withdrawals
from windrow.scaling.flow import Flow, measured
from windrow.scaling.policy import decide
from windrow.scaling.reasons import Reason
from windrow.scaling.state import Decision, History, Observation, WorkerState

__all__ = [
    "Decision",
    "Flow",
    "History",
    "Observation",
    "Reason",
    "WorkerState",
    "choose_victims",
    "choose_withdrawals",
    "decide",
    "measured",
]
