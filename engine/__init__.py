"""The pure core: what happens to a packet in the virtual topology. No I/O, no clock."""
