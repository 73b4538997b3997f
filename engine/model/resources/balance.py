"""The load balancer: virtual addresses, and the pools of members behind them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec

from onehop.engine.model.resources.base import (
    AddressText,
    L4Port,
    Name,
    PathText,
    Ref,
    Stated,
    Weight,
)

Times = Annotated[int, msgspec.Meta(ge=1, le=100)]
Interval = Annotated[float, msgspec.Meta(ge=0.1, le=3600)]


class HealthMonitor(Stated, frozen=True):
    """How the members of a pool are asked whether they are well."""

    KIND: ClassVar[str] = "health_monitor"
    PLURAL: ClassVar[str] = "health_monitors"
    name: Name
    type: Literal["tcp", "http"] = "tcp"
    interval_s: Interval = 2.0  # from one question to the next
    timeout_s: Interval = 1.0
    rise: Times = 2  # so many good answers in a row make a member healthy
    fall: Times = 2  # so many bad ones end that
    path: PathText = "/"  # of http


class Pool(Stated, frozen=True):
    """Members that share connections by their weights."""

    KIND: ClassVar[str] = "pool"
    PLURAL: ClassVar[str] = "pools"
    name: Name
    monitor: Annotated[str, Ref("health_monitor")] | None = None  # None: all count as healthy


class PoolMember(Stated, frozen=True):
    """One server of a pool."""

    KIND: ClassVar[str] = "pool_member"
    PLURAL: ClassVar[str] = "pool_members"
    name: Name
    pool: Annotated[str, Ref("pool", shared=())]
    address: AddressText
    port: L4Port
    weight: Weight = 1
    admin_state_up: bool = True  # false: keeps its connections, gets no new ones


class Vip(Stated, frozen=True):
    """An address and port of a router that stand for a pool."""

    KIND: ClassVar[str] = "vip"
    PLURAL: ClassVar[str] = "vips"
    name: Name
    router: Annotated[str, Ref("router")]
    address: AddressText
    port: L4Port
    pool: Annotated[str, Ref("pool")]
    protocol: Literal["tcp", "udp"] = "tcp"
    affinity_s: Annotated[int, msgspec.Meta(ge=1)] | None = None  # None: no affinity
