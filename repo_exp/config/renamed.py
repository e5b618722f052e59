"""Keys, options and values that were renamed. A command with an old name is refused with the new name.

An entry is used only where the old name does not exist any more.
"""

from __future__ import annotations

from collections.abc import Iterable

# old -> new. KEY is a key or a whole section, GROUP=OPTION an option, KEY=VALUE a value of a key.
# Where the present configuration has no such key either (that of another method), it is not proposed.
RENAMED: dict[str, str] = {
    "reward.join": "reward.combine",
    "data.contexts": "data.prompts",
    "evaluation.capability_every": "evaluation.validation_every",
    "evaluation.capability_contexts": "evaluation.validation_prompts",
    "model.max_context_tokens": "model.max_prompt_tokens",
    "reward_model.calibration_replies": "reward_model.calibration_responses",
    "reward_model.pretraining_contexts": "reward_model.pretraining_prompts",
    "algorithm.answer_after": "algorithm.answer_delimiter",
}


def new_key(path: Iterable[str | int]) -> str | None:
    """Return the present name of a key, or of a key in a section that was renamed; None if neither was."""
    parts = [str(part) for part in path]
    for depth in range(len(parts), 0, -1):
        if new := RENAMED.get(".".join(parts[:depth])):
            return ".".join([new, *parts[depth:]])
    return None


def new_choice(key: str, value: object) -> str | None:
    """Return ``KEY=VALUE`` or ``GROUP=OPTION`` as it is written now; None if it was not renamed."""
    return RENAMED.get(f"{key}={value}")
