"""The state channel between real agents, in namespaces of their own, over the underlay.

[c1: agent] ~~~ TCP 6654 ~~~ [c2: agent]
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from certificates import Authority
from functional.agent_hosts import Host, World, eventually
from functional.nodes import Net

TOPOLOGY = """
hosts:
  - {name: c1, tunnel_address: 172.31.0.21}
  - {name: c2, tunnel_address: 172.31.0.22}
"""


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    with contextlib.ExitStack() as stack:
        world = World(Net(stack), stack)
        world.apply(TOPOLOGY)
        yield world.host("c1", "172.31.0.21"), world.host("c2", "172.31.0.22")


def token(path: Path, text: str) -> Path:
    path.touch(0o600)
    path.write_text(text)
    return path


def joined(host: Host, other: str) -> bool:
    found = host.status().get("channel", {}).get("peers", {}).get(other, {})
    return bool(found.get("connected") and found.get("heard"))


def test_agents_find_each_other_again_after_either_was_killed(hosts, tmp_path):
    c1, c2 = hosts
    shared = token(tmp_path / "token", "a token that all agents know")
    for host in hosts:
        host.start_agent(shared)
    eventually(lambda: joined(c1, "c2") and joined(c2, "c1"), "both ends are joined")
    for host in hosts:
        host.kill_agent()
        host.start_agent(shared)
        eventually(
            lambda: joined(c1, "c2") and joined(c2, "c1"), f"joined again after {host.name}"
        )
    assert list(c1.run_dir.glob("state-c1-*"))
    assert c1.status()["channel"]["state"] == "on at 172.31.0.21 port 6654"


def test_agent_with_another_token_is_refused_and_one_without_says_so(hosts, tmp_path):
    c1, c2 = hosts
    c1.start_agent(token(tmp_path / "one", "a token that all agents know"))
    c2.start_agent(token(tmp_path / "other", "a token that nobody knows"))
    eventually(lambda: "its token is another one" in c1.log(), "the token is refused")
    assert not joined(c1, "c2")
    c2.kill_agent()
    c2.start_agent()
    eventually(c2.status, "the agent answers")
    assert c2.status()["channel"]["state"] == "off: no --peer-token-file"
    assert "off: no --peer-token-file" in c2.log()


def test_agents_speak_tls_and_one_without_a_certificate_is_not_heard(hosts, tmp_path):
    c1, c2 = hosts
    shared = token(tmp_path / "token", "a token that all agents know")
    authority = Authority(tmp_path)
    for host in hosts:
        host.start_agent(shared, *tls(authority, host.name))
    eventually(lambda: joined(c1, "c2") and joined(c2, "c1"), "both ends are joined")
    assert c1.status()["channel"]["state"] == "on at 172.31.0.21 port 6654, with TLS"
    c2.kill_agent()
    c2.start_agent(shared)
    eventually(lambda: "refused a connection: TLS" in c1.log(), "it is refused")
    assert not joined(c1, "c2")


def tls(authority: Authority, host: str) -> list[str]:
    cert, key, ca = authority.issue(host)
    return ["--peer-cert", cert, "--peer-key", key, "--peer-ca", ca]
