"""The toy task as a fixture."""

from tests.learner.toy import online  # noqa: F401 - pytest finds it by name
