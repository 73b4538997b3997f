"""What the walk answers for one packet."""

from onehop.engine.cdefs cimport (
    MAX_ACTIONS, MAX_CRAFTED, MAX_CREATED, MAX_EMITTED, MAX_NEIGHBORS, MAX_TAGS, MAX_USED, idx_t,
    tag_t, uint8_t, uint16_t, uint32_t,
    uint64_t,
)
from onehop.engine.packet cimport FlowKey
from onehop.engine.state cimport StateEntry, StateKey

cdef enum VerdictKind:
    DROP = 0       # by state that the mask covers: a flow without actions may be installed
    FORWARD = 1    # actions; a flow may be installed
    CONSUMED = 2   # answered, absorbed or refused for this one packet: no flow
    AWAIT = 3      # the next hop's MAC is unknown: hold the packet, no flow
    LOOP = 4       # passed MAX_DEVICES devices: dropped, counted, no flow

cdef enum ActionKind:
    A_SET_ETH_SRC = 1     # mac
    A_SET_ETH_DST = 2     # mac
    A_SET_VLAN = 3        # value: TCI; pushes a tag where there is none
    A_POP_VLAN = 4
    A_DEC_TTL = 5         # once per router passed
    A_SET_IP_SRC = 6      # ip; the family is the packet's
    A_SET_IP_DST = 7
    A_SET_TP_SRC = 8      # value
    A_SET_TP_DST = 9
    A_OUTPUT = 10         # value: index of the exterior port
    A_FLOOD = 11          # value: index of the bridge; to its exterior ports but except_port
    N_ACTION_KINDS = 12

cdef enum Reason:         # why; in words in verdict.REASONS
    R_NONE = 0
    R_PORT_DOWN           # admin state, an unplugged port, a dead host
    R_BAD_SOURCE          # a multicast or zero source MAC
    R_SAME_PORT           # the destination is where the frame came from
    R_NOWHERE             # nobody to flood to
    R_LOOP
    R_NOT_FOR_ROUTER      # a router port got a frame for another MAC, or a multicast
    R_TAGGED              # a router port got a VLAN-tagged frame
    R_NOT_IP
    R_UNROUTABLE          # loopback, multicast, link-local, ... destinations
    R_BROADCAST           # a subnet's broadcast address, from another link (RFC 2644)
    R_BLACKHOLE
    R_REJECT
    R_NO_ROUTE
    R_TTL
    R_NO_NEIGHBOR         # the next hop's MAC is wanted
    R_UNREACHABLE         # the next hop's MAC was wanted and is not to be had
    R_ARP                 # ARP or ND, answered or absorbed
    R_LOCAL               # for the router itself
    R_TOO_LONG            # more actions than a verdict holds
    R_OVER_MTU            # the egress port's; the sender is told
    R_UNFRAGMENTED        # the same, and the sender wants it fragmented
    R_FILTERED            # dropped by a rule
    R_REFUSED             # rejected by a rule
    R_SPOOFED             # from an address that is not the port's
    R_GUARDED             # no security group lets it pass
    R_STATE_FULL          # a connection that the table has no room for
    R_NO_NAT_PORT         # nothing is left to translate it to
    R_NO_MEMBER           # no member of the VIP's pool takes it
    R_UNTRANSLATABLE      # it has no ports to tell its connection by
    R_CONFIGURES          # DHCP or router discovery, answered or absorbed
    R_BAD_QUESTION        # the same, but it breaks its RFC

cdef struct Action:
    uint8_t kind
    uint8_t mac[6]
    uint8_t ip[16]
    uint32_t value
    idx_t except_port     # A_FLOOD: where the frame came from; NONE: to every port
    idx_t host            # A_FLOOD: only to this host's ports; NONE: everywhere

cdef struct Seen:         # this router port saw `ip` at `mac`
    idx_t port
    uint8_t family        # 4 or 6
    uint8_t ip[16]
    uint8_t mac[6]

cdef struct Used:         # an entry of the state table that the packet met
    StateKey key
    uint8_t direction     # a Direction

cdef struct Emitted:      # a packet that the walk crafted: bytes stand in Verdict.crafted
    uint32_t off          # where they begin
    uint32_t len_bytes
    uint16_t n_actions    # and what is done with them
    Action actions[MAX_ACTIONS]

cdef struct Verdict:
    uint8_t kind          # a VerdictKind
    uint16_t reason       # an index into verdict.REASONS: why it was dropped or consumed
    uint8_t cacheable     # 0: valid for this packet only
    uint8_t is_early      # it might be another one if more connections were known
    uint16_t n_actions
    uint16_t n_tags
    uint16_t n_emitted
    FlowKey key           # of the packet as it came
    FlowKey mask          # 1 bits: consulted
    Action actions[MAX_ACTIONS]
    tag_t tags[MAX_TAGS]
    uint64_t tag_bits     # a bit for what each tag begins with
    Emitted emitted[MAX_EMITTED]
    uint32_t sent_off     # in crafted: the packet's bytes, where no action can write what changed
    uint32_t sent_bytes   # 0: as they came
    uint32_t crafted_len
    uint8_t crafted[MAX_CRAFTED]
    # what was learned, for the caller to apply and to tell others
    idx_t learn_bridge    # NONE: nothing
    uint16_t learn_vlan
    uint8_t learn_mac[6]
    idx_t learn_port
    uint16_t n_neighbors
    Seen neighbors[MAX_NEIGHBORS]
    # what is remembered when it is forwarded, and what was met, for the caller to keep
    uint8_t is_overfull   # more than a verdict holds
    uint16_t n_created
    StateEntry created[MAX_CREATED]
    uint16_t n_used
    Used used[MAX_USED]
    # AWAIT: whose MAC is wanted
    idx_t await_port
    uint8_t await_family
    uint8_t await_ip[16]
