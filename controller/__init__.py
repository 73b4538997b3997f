"""Everything that does I/O: the agent, the store, the command line."""
