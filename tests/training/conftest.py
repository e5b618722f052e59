"""The toy task as a fixture."""

from tests.training.toy import online  # noqa: F401 - pytest finds it by name
