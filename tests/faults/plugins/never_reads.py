"""Lives, and reads nothing."""

import signal

signal.pause()
