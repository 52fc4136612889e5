"""How many workers a queue needs: the policy, and the simulator that replays arrivals through it. Pure: time is passed in."""
