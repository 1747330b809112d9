"""The two conditions of a machine, in the words of the challenge.

`source` are the usual conditions, of which there are many normal clips; `target` are new
conditions, of which there are few. Wherever both appear, source comes first.
"""

DOMAINS = ("source", "target")
DOMAIN_WORDS = {"source": "usual conditions (source)", "target": "new conditions (target)"}
"""How a page or a message explains the domains where it names them first."""
