"""The exception tree: every error here is one that the user can fix.

The command line prints such an error as one message without a traceback and exits with code 2. Anything that is
not in this tree is a bug of ours and keeps its traceback. A message says what is wrong, where, why, and what to
do next.
"""


class OPDBenchError(Exception):
    """Base of all errors that the user can fix."""


class ConfigError(OPDBenchError, ValueError):
    """A board or an option says something that cannot be run."""


class PluginError(OPDBenchError, LookupError):
    """A method, trainer, task or engine is unknown, claimed twice, or fails to load."""


class BrokenPluginError(PluginError):
    """A plug-in is installed but cannot be imported: it fails its own cells, with its traceback, and no others."""


class DataError(OPDBenchError, ValueError):
    """A data set is missing, incomplete, or not the one that was pinned."""


ROW_ERRORS = (LookupError, TypeError, ValueError, AttributeError)
"""What the functions that read one row of data raise on values they do not expect; ``DataError`` is among them."""


def told(error: Exception) -> str:
    """Return what an error on a row says: the message of our own, else its kind as well, since that is half of it."""
    return str(error) if isinstance(error, OPDBenchError) else f"{type(error).__name__}: {error}"


class MissingDataError(DataError):
    """A data set is not on this machine; the message says how to bring it here."""


class ModelError(OPDBenchError, ValueError):
    """A checkpoint is missing, unsafe to load, or does not fit its partner."""


class EngineError(OPDBenchError, RuntimeError):
    """An engine cannot do what a board asks of it."""


class GradingError(OPDBenchError, RuntimeError):
    """A grader cannot be set up; a bad answer is never an error."""


class BudgetError(OPDBenchError, ValueError):
    """A budget cannot be met, for example because one step costs more than the limit."""


class StoreError(OPDBenchError, RuntimeError):
    """A run directory is locked, full, or damaged beyond what can be recomputed."""
