"""TLS between agents: both ends show a certificate, or nothing is said."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from certificates import Authority, Shown
from test_agent_peers import Agent, agent, port, stack, until  # noqa: F401

from onehop.controller.agent.config import SettingError, settings
from onehop.controller.agent.peer_tls import TlsError, Tunnel, contexts, peer_contexts


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def shown(authority: Authority) -> dict[str, Shown]:
    return {host: authority.issue(host) for host in ("c1", "c2")}


@pytest.fixture
def stranger(tmp_path: Path) -> Shown:
    """Somebody with a certificate of another authority."""
    return Authority(tmp_path, "another").issue("c2")


def converse(*ends: Tunnel) -> list[bytes]:
    """Let both say what they have to say; what each heard."""
    heard = [b"", b""]
    while any(end.out for end in ends):
        for here, there in ((0, 1), (1, 0)):
            data, ends[here].out = bytes(ends[here].out), bytearray()
            heard[there] += ends[there].receive(data) if data else b""
    return heard


def tunnels(one: Shown, other: Shown) -> tuple[Tunnel, Tunnel]:
    opener = Tunnel(contexts(*one).opener, accepts=False)
    return opener, Tunnel(contexts(*other).accepter, accepts=True)


def test_what_is_said_inside_comes_out_and_is_not_seen_outside(shown):
    opener, accepter = tunnels(shown["c1"], shown["c2"])
    said = bytearray(b"a secret" * 10_000)
    opener.send(said)
    assert said, "nobody is there yet"
    converse(opener, accepter)
    opener.send(said)
    assert not said
    assert b"secret" not in opener.out
    assert converse(opener, accepter) == [b"", b"a secret" * 10_000]


def test_both_ends_want_a_certificate_of_their_authority(shown, stranger):
    for one, other in ((shown["c1"], stranger), (stranger, shown["c2"])):
        with pytest.raises(TlsError, match="self-signed|unknown ca|unable to get"):
            converse(*tunnels(one, other))


def test_bytes_that_are_no_tls_end_the_connection(shown):
    accepter = tunnels(shown["c1"], shown["c2"])[1]
    with pytest.raises(TlsError, match="TLS: "):
        accepter.receive(b"\0\0\0\x50\x01hello, I am c1" + bytes(80))


def joined(*agents: Agent) -> None:
    one, other = agents
    until(lambda: one.connected(other.host) and other.connected(one.host), *agents)


def test_agents_tell_each_other_through_tls(stack, port, shown):  # noqa: F811
    c1 = agent(stack, "c1", port, tls=contexts(*shown["c1"])).meet("c1", "c2")
    c2 = agent(stack, "c2", port, tls=contexts(*shown["c2"])).meet("c1", "c2")
    joined(c1, c2)
    c1.peers.send("c2", b"news")
    c2.peers.hear()
    assert c2.heard == [("c1", b"news")]
    large = [bytes([n]) * 300_000 for n in range(20)]
    for each in large:
        c2.peers.send("c1", each)
    until(lambda: len(c1.heard) == len(large), c1, c2)
    assert [message for _, message in c1.heard] == large
    until(lambda: not c2.peers.status().peers["c1"].queued, c1, c2)


@pytest.mark.parametrize("who", ["stranger", "plain"])
def test_agent_without_the_right_certificate_hears_nothing_and_is_not_heard(
    stack, port, shown, stranger, who, caplog  # noqa: F811
):  # fmt: skip
    caplog.set_level(logging.INFO)
    tls = contexts(*stranger) if who == "stranger" else None
    c1 = agent(stack, "c1", port, tls=contexts(*shown["c1"])).meet("c1", "c2")
    c2 = agent(stack, "c2", port, tls=tls).meet("c1", "c2")
    c1.peers.send("c2", b"secret")
    c2.peers.send("c1", b"lie")
    until(lambda: c1.peers.status().counters.get("state_connections_refused"), c1, c2)
    until(lambda: c2.peers.status().counters.get("state_connections_refused"), c1, c2)
    assert not c1.heard and not c2.heard
    assert not c1.peers.status().peers["c2"].connected
    assert "certificate" in caplog.text if who == "stranger" else "TLS: " in caplog.text


@pytest.mark.parametrize("missing", ["peer_cert", "peer_key", "peer_ca"])
def test_settings_of_tls_go_together(missing):
    given = {name: "/some/file" for name in ("peer_cert", "peer_key", "peer_ca")}
    with pytest.raises(SettingError, match=f"^{missing}: not set"):
        settings({"host": "c1", "peer_token_file": "token", **given, missing: ""})
    with pytest.raises(SettingError, match="^peer_token_file: not set"):
        settings({"host": "c1", **given})


def test_files_that_cannot_be_used_are_refused_by_name(shown, tmp_path):
    cert, key, authority = shown["c1"]
    open_key = tmp_path / "open.key"
    open_key.write_bytes(Path(key).read_bytes())
    open_key.chmod(0o644)
    for bad, name, why in (
        (Shown("/no/such", key, authority), "peer_cert", "No such file"),
        (Shown(cert, "/no/such", authority), "peer_key", "No such file"),
        (Shown(cert, key, "/no/such"), "peer_ca", "No such file"),
        (Shown(cert, str(open_key), authority), "peer_key", "others may read it"),
        (Shown(cert, shown["c2"].key, authority), "peer_cert, peer_key", "mismatch"),
        (Shown(cert, key, key), "peer_ca", ""),
    ):
        with pytest.raises(SettingError, match=f"^{name}: .*{why}"):
            contexts(*bad)


def test_without_certificates_there_is_no_tls():
    assert peer_contexts(settings({"host": "c1"})) is None
