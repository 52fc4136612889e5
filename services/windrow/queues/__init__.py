"""QueueWorker specs: parse, check, derive (Celery settings, termination grace, what is capped).

Pure but for `load_specs`, which reads the file it is given: no Redis, no Celery, no clock, no import of the app a spec names.
"""

from windrow.queues.defaults import default_specs, from_flags
from windrow.queues.derive import Derived, EffectiveLimits, Limits, capped_sentence, derive, effective_limits
from windrow.queues.load import load_specs, parse_specs
from windrow.queues.model import DEFAULT_APP, QueueWorker
from windrow.queues.source import Source, SpecError

__all__ = [
    "DEFAULT_APP",
    "Derived",
    "EffectiveLimits",
    "Limits",
    "QueueWorker",
    "Source",
    "SpecError",
    "capped_sentence",
    "default_specs",
    "derive",
    "effective_limits",
    "from_flags",
    "load_specs",
    "parse_specs",
]
