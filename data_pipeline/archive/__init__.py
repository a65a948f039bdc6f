"""Observation archives that grow by day: `appending` adds files, `reading` opens a state, `commits` keeps the log."""
