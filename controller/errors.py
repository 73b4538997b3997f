"""Errors that a user is told in words; every other error is a bug and keeps its traceback."""


class CommandError(RuntimeError):
    """What was asked could not be done; each line of the message is one problem."""


class InputError(ValueError):
    """What the user gave is wrong; each line of the message is one problem."""
