"""Imported first by the server that worker processes are forked from: it ends with whoever started it."""

import os

from .processes import end_with

SERVER = os.getpid()
end_with(os.getppid())
