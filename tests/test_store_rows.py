"""Resources to rows of the store and back, without a store."""

from uuid import UUID, uuid4

import pytest
from test_store import TOPOLOGY

from onehop.controller.ovsdb import Datum, SchemaHelper
from onehop.controller.store.rows import read_row, row_values
from onehop.controller.store.schema import schema, table_of
from onehop.engine.model import Bridge, Host, LearnedMac, Port, PortGroup, Resource, Route, Router

RESOURCES = [
    *TOPOLOGY,
    Bridge(name="off", admin_state_up=False, tunnel_key=9, shared=True, tenant="acme"),
    Host(name="h", tunnel_address="fd::2", drain=True),
    Port(name="p", device="net", port_security=False, interface="", peer="vm"),
    PortGroup(name="many", ports=tuple(f"p{n}" for n in range(12))),  # 10 comes after 9
    Route(router="r", destination="::/0", next_hop_gateway="fe80::1", weight=1),
    LearnedMac(host="c1", bridge="net", mac="02:00:00:00:00:01", port="vm"),
]
ALL = pytest.mark.parametrize("resource", RESOURCES, ids=lambda r: f"{r.KIND} {r.name}")


class Rows:
    """Rows that are there as soon as somebody asks for them."""

    def __init__(self) -> None:
        self.names: dict[UUID, tuple[str, str]] = {}

    def find(self, kind: str, name: str) -> list[str] | None:
        if kind == "router" and name != "r":  # a device is a bridge or a router
            return None
        uuid = next((u for u, ident in self.names.items() if ident == (kind, name)), uuid4())
        self.names[uuid] = (kind, name)
        return ["uuid", str(uuid)]

    def find_no_bridge_r(self, kind: str, name: str) -> list[str] | None:
        return None if (kind, name) == ("bridge", "r") else self.find(kind, name)


@ALL
def test_a_new_row_says_all_that_is_not_the_default(resource: Resource) -> None:
    rows = Rows()
    row = row_values(resource, rows.find_no_bridge_r, new=True)
    assert row["name"] == resource.name
    assert read_row(type(resource), row, rows.names) == resource


@ALL
def test_a_row_that_is_there_is_told_everything_but_its_name(resource: Resource) -> None:
    rows = Rows()
    row = row_values(resource, rows.find_no_bridge_r)
    helper = SchemaHelper(schema_json=schema())
    helper.register_all()
    columns = helper.get_idl_schema().tables[table_of(type(resource))].columns
    assert row.keys() == columns.keys() - {"name"}
    row["name"] = resource.name
    # As the server would tell it: a set of one is that one.
    told = {name: Datum.from_json(columns[name].type, row[name]).to_json() for name in row}
    assert read_row(type(resource), told, rows.names) == resource


def test_what_is_not_there_cannot_be_named() -> None:
    with pytest.raises(LookupError, match="there is no bridge or router 'x'"):
        row_values(Port(name="p", device="x"), lambda kind, name: None)


def test_a_default_of_the_model_is_said_where_the_store_has_another() -> None:
    row = row_values(Router(name="r", admin_state_up=True), lambda kind, name: None, new=True)
    assert row == {"name": "r", "admin_state_up": True}
