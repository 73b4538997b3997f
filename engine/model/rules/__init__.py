"""The rules between sound resources: each takes a `View` and yields what breaks it."""

from __future__ import annotations

from collections.abc import Callable

from onehop.engine.model.rules import balance, conditions, jumps, nat, network, subnets
from onehop.engine.model.rules.base import Problems
from onehop.engine.model.view import View

RULES: tuple[Callable[[View], Problems], ...] = (
    network.exterior_ports_have_host_and_interface,
    network.links_have_two_ends,
    network.links_do_not_loop,
    network.router_ports_state_their_subnet,
    network.linked_bridge_ports_have_no_machine,
    network.machines_are_inside_their_subnet,
    network.nobody_shares_an_address,
    network.tunnel_keys_are_unique,
    network.mtus_fit_their_ports,
    network.mtus_are_few,
    network.routes_are_whole,
    network.routes_are_stated_once,
    network.port_groups_name_a_port_once,
    network.bgp_peers_are_on_uplinks,
    network.bgp_networks_have_an_asn,
    conditions.address_groups_name_a_prefix_once,
    conditions.rules_are_possible,
    conditions.security_rules_are_possible,
    jumps.jumps_end,
    nat.snat_pools_do_not_overlap,
    nat.snat_pools_leave_others_their_addresses,
    nat.floating_ips_are_one_to_one,
    nat.virtual_addresses_are_nobodys,
    balance.monitors_wait_for_their_answer,
    balance.monitors_have_their_addresses,
    balance.members_are_stated_once,
    balance.vips_are_stated_once,
    balance.vips_lead_to_machines,
    subnets.subnets_are_whole,
    subnets.subnets_agree,
    subnets.only_machines_are_guarded,
)
