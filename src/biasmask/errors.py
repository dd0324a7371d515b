"""Errors a user can act on: one line that tells what is wrong, where, and what to do."""


class BiasmaskError(Exception):
    """Base of all errors that entry points print without a traceback."""


class ConfigError(BiasmaskError):
    """A configuration key or value that can't work."""


class DataError(BiasmaskError):
    """A table, column, value or file that can't be used."""


class CheckpointError(BiasmaskError):
    """A checkpoint that can't be read or doesn't fit the model."""


class MethodError(BiasmaskError):
    """A method that can't go on: an empty mask, a collapsed model, a loss that is NaN."""


class StoreError(BiasmaskError):
    """The artefact store or a run folder can't be written or read."""
