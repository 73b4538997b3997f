"""`onehop simulate`: the examples fare as their comments say."""

import json
import pathlib

import pytest
from typer.testing import CliRunner

from onehop.controller.cli import app
from onehop.controller.cli.packets import load
from onehop.controller.cli.play import Player, Step
from onehop.engine import model, packet

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"


def example(name: str) -> list[Step]:
    topology = model.load((EXAMPLES / f"{name}.yaml").read_text())
    packets = load((EXAMPLES / f"{name}.packets.yaml").read_text(), topology)
    return list(Player(topology).play(packets))


def run(*args: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["simulate", *args])
    return result.exit_code, result.stdout, result.stderr


def files(name: str) -> tuple[str, ...]:
    return "-f", str(EXAMPLES / f"{name}.yaml"), "-p", str(EXAMPLES / f"{name}.packets.yaml")


def ways(steps: list[Step]) -> list[tuple[int, str, str, str]]:
    """Of each step: the packet's number, the event, the verdict, and where something left."""
    found = []
    for step in steps:
        assert step.verdict is not None
        left = [o.port for o in (*step.verdict.outputs, *step.verdict.emitted_outputs)]
        found.append((step.number, step.event, step.verdict.kind, " ".join(sorted(left))))
    return found


def test_firewall() -> None:
    assert ways(example("firewall")) == [
        (1, "sent", "consumed", "uplink"),
        (2, "sent", "forward", "db1"),
        (3, "sent", "forward", "web1"),
        (4, "sent", "drop", ""),
        (5, "sent", "drop", ""),
        (6, "sent", "forward", "uplink"),
        (7, "sent", "drop", ""),
        (8, "sent", "consumed", "web1"),
        (9, "sent", "forward", "web1"),
        (10, "sent", "drop", ""),
        (11, "sent", "consumed", "uplink"),
        (12, "sent", "forward", "uplink"),
        (13, "sent", "forward", "web1"),
        (14, "sent", "consumed", "uplink"),
    ]


def test_dhcp() -> None:
    steps = example("dhcp")
    assert ways(steps) == [
        (1, "sent", "consumed", "web1"),
        (2, "sent", "consumed", "web1"),
        (3, "sent", "consumed", "web1"),
        (4, "sent", "consumed", "web1"),
        (5, "sent", "consumed", "web1"),
        (6, "sent", "forward", "guest"),
        (7, "sent", "forward", "web2"),
    ]
    status, shown, _ = run(*files("dhcp"))
    assert status == 0
    said = ("discover", "offer of 10.0.1.11", "ack of 10.0.1.11", "nak")
    assert all(f"DHCP {words}, UDP" in shown for words in said)
    assert "DHCPv6 solicit, UDP" in shown and "DHCPv6 advertise, UDP" in shown
    assert "ICMPv6 router solicitation" in shown and "ICMPv6 router advertisement" in shown


def test_two_subnets() -> None:
    assert ways(example("two-subnets")) == [
        (1, "sent", "forward", "web2"),
        (2, "sent", "forward", "db1"),
        (3, "sent", "forward", "db1"),
        (4, "sent", "consumed", "web1"),
        (5, "sent", "consumed", "web1"),
        (6, "sent", "consumed", "web1"),
        (7, "sent", "drop", ""),
        (8, "sent", "consumed", "web1"),
        (9, "sent", "consumed", "web1"),
        (10, "sent", "await", "db1 guest"),
        (11, "sent", "consumed", ""),
        (10, "went on", "forward", "guest"),
        (12, "sent", "await", "db1 guest"),
        (12, "was given up", "consumed", "web1"),
        (13, "sent", "forward", "guest"),
    ]


def test_the_packet_that_waited_goes_on_when_it_is_answered_and_is_given_up_when_not() -> None:
    times = {(step.number, step.event): step.at_s for step in example("two-subnets")}
    assert times[10, "went on"] == 1.002
    assert times[12, "was given up"] == 5.0


def test_provider() -> None:
    steps = {step.number: step.verdict for step in example("provider")}
    for number in (4, 5, 6, 7):
        assert [o.port[:-1] for o in steps[number].outputs] == ["uplink"]
    assert [o.port for o in steps[8].outputs] == ["vm1"]
    answers = [steps[number].emitted_outputs[0].packet for number in (9, 10)]
    assert [packet.parse_key(a)["ipv4_src"] for a in answers] == ["10.56.1.2", "10.255.0.2"]
    assert [o.port for o in steps[11].outputs] == ["vm2"]


def test_text_shows_walk_flow_and_the_packet_that_leaves() -> None:
    code, text, _ = run(*files("two-subnets"))
    assert code == 0
    second = text.split("\n\n")[1]
    for shown in ("#2 at 0 s, port web1", "walk", "dec_ttl", "output db1", "out      at db1"):
        assert shown in second
    assert "ipv4_dst=10.0.2.11" in second


def test_json_is_whole() -> None:
    code, text, _ = run(*files("provider"), "--json")
    found = json.loads(text)
    assert code == 0
    assert found["waiting"] == []
    step = found["steps"][3]
    assert step["verdict"]["kind"] == "forward"
    assert step["verdict"]["flow"]["match"]["tcp_dst"] == "443"
    assert bytes.fromhex(step["verdict"]["outputs"][0]["packet"])


def test_a_malformed_packet_is_told_and_the_rest_goes_on(tmp_path: pathlib.Path) -> None:
    packets = tmp_path / "packets.yaml"
    packets.write_text("- {in_port: web1, hex: '00'}\n- {in_port: web1, ip_dst: 10.0.1.12}\n")
    code, text, _ = run(*files("two-subnets")[:2], "-p", str(packets))
    assert code == 0
    assert "malformed: shorter than an Ethernet header" in text
    assert "output web2" in text


@pytest.mark.parametrize(
    ("file", "text", "problem"),
    [
        ("-p", "- {in_port: nobody}", "packet '#1': in_port: there is no port 'nobody'"),
        ("-f", "ports: [{name: a, device: b}]", "port 'a': device: "),
    ],
)
def test_bad_input_is_one_line_for_each_problem_and_code_2(
    tmp_path: pathlib.Path, file: str, text: str, problem: str
) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(text)
    given = dict(zip(files("two-subnets")[::2], files("two-subnets")[1::2], strict=True))
    args = [part for pair in {**given, file: str(bad)}.items() for part in pair]
    code, _, errors = run(*args)
    assert code == 2
    assert errors.startswith(f"onehop: {problem}")
