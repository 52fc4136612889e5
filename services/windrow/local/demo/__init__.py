"""`windrow demo`: real arrivals replayed through the shipped tasks, and the proof that all of them are accounted for.

`arrivals` and `inputs` say what is published when; `site` and `replay` do it; `evidence` asks the three sources; `run` is one
replay on a platform, `session` the platform around it.
"""
