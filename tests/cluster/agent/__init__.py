"""Plays the worker in each pod of a QueueWorker: really over Redis, with the broker's own code, many pods in one process.

`__main__` is the process; `pods` hears of pods and changes them; `worker` is one played worker; `playing` starts and reads it.
"""
