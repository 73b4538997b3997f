"""C only: see connections.pxd."""
