"""The nightly bot that names the upstream release which broke us, once, with proof, and goes quiet when it is mended.

A night has steps that can each be run alone and go on where they were stopped: `watch` what changed upstream, `attempt`
the suites on it, `bisect` to the smallest set of changes that breaks them, `explain`, `report`, `publish`. What they
hand to each other is in `model`; `night` joins them, and `command` is what ``./noxw -s is_broken`` runs.

`model`, `bisect`, `signature` and `judge` are pure: no clock, no file, no process. The others are the
shell around them.
"""
