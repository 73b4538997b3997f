"""The network whole: hot paths, switches and tunnels of three hosts against the oracle.

Whatever flows are there from earlier packets, and however the topology changed since, what comes
out of the network must be what the oracle says now.
"""

from agreement import essence
from changes import changes
from cluster import Cluster, Copy
from hypothesis import given
from hypothesis import strategies as st
from oracle import Outcome, judge
from strategies import HOSTS, Scene, scenes, seldom
from test_oracle_walk import thorough
from traffic import packets


def agrees(left: set[Copy], right: Outcome) -> bool:
    if right.is_hazy:
        return True
    if right.crafted:
        seen = {(port, essence(data)) for port, data in left}
        return seen == {(port, essence(data)) for port, data in right.copies | right.crafted}
    return left == right.copies


@thorough
@given(scenes(), st.data())
def test_what_leaves_is_what_should_whatever_flows_there_are(
    scene: Scene, choose: st.DataObject
) -> None:
    cluster = Cluster(scene)
    sent = choose.draw(st.lists(packets(scene), min_size=2, max_size=5))
    for _ in range(3):
        for in_port, packet in sent:
            if cluster.world.port(in_port).host in cluster.world.dead:
                continue
            right = judge(cluster.world, in_port, packet)
            left = cluster.send(in_port, packet)
            assert any(agrees(left, outcome) for outcome in right), (in_port, left, right)
        change = choose.draw(steady_changes(scene, cluster))
        if choose.draw(seldom):
            cluster.restart(choose.draw(st.sampled_from(HOSTS)), change)
        else:
            cluster.apply(change)


@st.composite
def steady_changes(draw: st.DrawFn, scene: Scene, cluster: Cluster):
    """A change that leaves every port plugged where it is."""

    def is_steady(change) -> bool:
        kinds = {kind for kind, _ in change.remove}
        moved = [row for row in change.put if row.KIND == "port"]
        hosts = {port.name: port.host for port in scene.topology.ports}
        return "port" not in kinds and all(hosts[p.name] == p.host for p in moved)

    return draw(changes(scene, cluster.world).filter(is_steady))
