"""Finding the gateway that a probe stream crosses, from what switches and routers say."""

from __future__ import annotations

from onehop.lab.aim import choose, parse_flows, tunnel_of

SAID = """\
 cookie=0x8000000000000001, duration=12.3s, table=0, n_packets=9, n_bytes=4, idle_age=3, \
priority=100,udp,in_port=1,nw_src=10.0.0.11,nw_dst=198.51.100.2,tp_src=30001,tp_dst=7007 \
actions=dec_ttl,set_field:172.31.0.11->tun_dst,set_field:0x7->tun_id,output:100
 cookie=0x8000000000000002, duration=12.3s, table=0, n_packets=9, n_bytes=4, idle_age=3, \
priority=100,udp,in_port=1,nw_src=10.0.0.11,nw_dst=198.51.100.2,tp_src=30002,tp_dst=7007 \
actions=dec_ttl,set_field:172.31.0.12->tun_dst,set_field:0x8->tun_id,output:100
 cookie=0x8000000000000003, duration=1s, table=0, n_packets=9, n_bytes=4, \
priority=100,tcp,in_port=1,nw_dst=128.0.0.0/1 actions=set_field:172.31.0.19->tun_dst,output:100
 cookie=0x4000000000000001, duration=1s, table=0, n_packets=9, n_bytes=4, \
priority=50,in_port=100,tun_id=0x3 actions=output:1
"""


def packet(port: int, target: str = "198.51.100.2") -> dict[str, str]:
    return {"nw_src": "10.0.0.11", "nw_dst": target, "tp_src": str(port), "tp_dst": "7007"}


def test_the_flow_of_a_stream_names_the_tunnel_that_it_takes() -> None:
    flows = parse_flows(SAID)
    assert tunnel_of(flows, packet(30001)) == "172.31.0.11"
    assert tunnel_of(flows, packet(30002)) == "172.31.0.12"


def test_a_stream_without_a_flow_crosses_nothing_known() -> None:
    assert tunnel_of(parse_flows(SAID), packet(30003)) is None


def test_a_flow_that_looked_at_the_destination_only_covers_all_streams() -> None:
    said = " priority=100,ip,in_port=1,nw_dst=128.0.0.0/1 actions=set_field:172.31.0.11->tun_dst\n"
    flows = parse_flows(said)
    assert tunnel_of(flows, packet(30003)) == "172.31.0.11"
    assert tunnel_of(flows, packet(30003, "10.0.0.1")) is None


def test_a_port_in_use_is_kept_and_a_gateway_without_one_gets_none() -> None:
    crossing = {30001: "g1", 30002: "g1", 30003: "g2"}
    assert choose(crossing, ["g1", "g2", "g3"], [30002]) == {"g1": 30002, "g2": 30003}
