"""A stand-in for the tracker, which notes what is called."""

from inspect import signature

from sweeps.tracking.tracker import Tracker


class Noted:
    """Takes what a Tracker takes, and nothing else."""

    away_since = None

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        taken = signature(getattr(Tracker, name))

        def noted(*arguments):
            taken.bind(self, *arguments)
            self.calls.append((name, *arguments))

        return noted

    def of(self, name):
        """Returns the arguments of all calls of a method."""
        return [arguments for called, *arguments in self.calls if called == name]
