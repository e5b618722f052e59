"""The kinds of rules, found by file name: a file here with a function ``check`` is a kind.

``check(trajectory, *, option: type = default, ...) -> bool | None`` answers "is the rule broken?" and ``None``
where it cannot say. Its keyword-only parameters are the options that a YAML file may give. A kind may
also have ``faults(**options)``, which yields ``(option, what is wrong with it)`` before a run starts.
Both are pure.
"""
