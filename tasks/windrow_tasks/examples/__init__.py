"""Worked examples: the patterns of the task pattern reference, each in a module of its own, as their author wrote them."""
