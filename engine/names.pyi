def hash_names(*names: str) -> int:
    """64 bits that are the same on every host."""

class Names:
    """Who is who in a compiled topology. An index is its name's for ever, stated or not."""

    ports: list[str]
    devices: list[str]
    hosts: list[str]
    chains: list[str]
    def port_index(self, name: str) -> int: ...
    def device_index(self, name: str) -> int: ...
    def host_index(self, name: str) -> int: ...
    def of_tag(self, tag: int) -> str:
        """A tag in words; those of MACs and neighbors only where an entry exists."""
