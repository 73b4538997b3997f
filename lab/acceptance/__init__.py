"""What the network promises about state, each promise a check with real packets.

1. A check sends packets of its own and counts where they come out; nothing is asked of agents.
2. What a check changes of the topology is put back before the next one.
"""
