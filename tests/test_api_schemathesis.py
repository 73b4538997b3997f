"""The API held against its own description, by requests that follow it and requests that break it.

Schemathesis makes them, the same each time.  No answer is a 5xx; each has a status, a content type
and a body that `/v1/openapi.json` names; what the description forbids is refused, and so is who
has no token; what was deleted is gone.  Good data need not be accepted: the model has rules that
no schema can tell.
"""

import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest
from api_server import api_server, onehop

from onehop.controller.store import server

COMMAND = [str(pathlib.Path(sys.executable).with_name("st")), "--no-color", "run"]
OPTIONS = """
    --seed 5 --generation-deterministic --no-shrink
    --exclude-checks positive_data_acceptance --continue-on-failure --warnings off
    --exclude-path /v1/watch --request-timeout 30
"""  # a watch has no end


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Of the API, and an admin's token."""
    directory = tmp_path_factory.mktemp("api")
    remote = f"unix:{directory}/store.sock"
    server.start(directory, [remote])
    token = onehop("api", "init", "--directory", directory)
    with api_server(remote, directory) as url:
        yield url, token
    server.stop(directory)


@pytest.mark.parametrize(
    "options",
    [
        "--phases fuzzing --max-examples 2",
        "--phases stateful --max-examples 4 --include-path-regex /(bridges|ports|routes)",
        # Every kind's endpoints are made by the same lines: these have all forms of fields.
        "--phases coverage --include-path-regex /(port_groups|bgp_networks|neighbors)",
    ],
    ids=["all of it", "from request to request", "each constraint broken once"],
)
def test_the_api_is_as_it_describes_itself(
    address: tuple[str, str], tmp_path: pathlib.Path, options: str
) -> None:
    url, token = address
    where = [f"{url}/openapi.json", "--url", url.removesuffix("/v1")]
    header = ["--header", f"Authorization: Bearer {token}"]
    result = subprocess.run(
        [*COMMAND, *where, *header, *OPTIONS.split(), *options.split()],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
