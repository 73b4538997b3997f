"""The agent's settings."""

from __future__ import annotations

import pytest

from onehop.controller.agent.config import SettingError, Settings, from_environment, settings


def test_environment_makes_the_same_settings_again():
    made = settings({"host": "c1", "store": "tcp:10.0.0.1:6640", "seed": 7, "idle_s": 1.5})
    assert from_environment(made.environment()) == made


def test_texts_are_numbers_where_numbers_are_wanted():
    found = from_environment({"ONEHOP_HOST": "c1", "ONEHOP_IDLE_S": "2", "OTHER": "x"})
    assert found == Settings(host="c1", idle_s=2.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("store", "/run/store.sock"),
        ("ovsdb", "unix:"),
        ("datapath", "kernel"),
        ("listen", "127.0.0.1"),
        ("listen", "localhost:6653"),
        ("metrics", "127.0.0.1:70000"),
        ("idle_s", 0),
        ("idle_s", "soon"),
        ("seed", -1),
        ("peer_listen", "6654"),
        ("peer_token_file", "/no/such/file"),
        ("state_entries", 0),
    ],
)
def test_setting_without_sense_is_refused_by_name(name, value):
    with pytest.raises(SettingError, match=f"^{name}: "):
        settings({"host": "c1", name: value}).peer_token()


def test_missing_host_names_option_and_variable():
    with pytest.raises(SettingError, match="--host or ONEHOP_HOST"):
        from_environment({})


def test_endpoints_are_split():
    made = settings({"host": "c1", "listen": "[::1]:6653"})
    assert made.listen_address == ("::1", 6653)
    assert made.metrics_address == ("127.0.0.1", 9273)


def test_token_is_read_from_a_file_that_is_its_owners_alone(tmp_path):
    token = tmp_path / "token"
    made = settings({"host": "c1", "peer_token_file": str(token)})
    token.touch(0o600)
    with pytest.raises(SettingError, match="^peer_token_file: .*shorter than 16 bytes"):
        made.peer_token()
    token.write_text("0123456789abcdef\n")
    assert made.peer_token() == b"0123456789abcdef"
    token.chmod(0o640)
    with pytest.raises(SettingError, match="^peer_token_file: .*others may read it"):
        made.peer_token()


def test_without_a_token_there_is_no_channel():
    assert settings({"host": "c1"}).peer_token() == b""
    assert settings({"host": "c1", "peer_listen": "[fd00::1]:7"}).peer_address == ("fd00::1", 7)
