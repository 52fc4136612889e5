"""The chaos suite: faults on real processes under load, judged from a log that the code under test does not write.

`log` says what a run's log consists of; `checker` judges it and does no I/O. `tasks` are bodies that write down what they do,
`load` publishes them, `watch` sees processes die, `monitor` hears what Redis is told, `proxy` stands before Redis, `stage`
starts and ends all that. `faults` are what is done to it; `rows` say which fault, load and bounds; `report` shows the outcome.
"""
