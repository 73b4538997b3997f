"""Everything that does I/O: the agent, the store, the command line."""

import os

# eventlet (of Ryu and of the OVSDB client) would compile a DNS library anew in each process, for
# half a second; nothing here looks up a name.
os.environ.setdefault("EVENTLET_NO_GREENDNS", "yes")
