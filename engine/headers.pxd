"""Headers -> packets as short as can be, and the headers of their answers."""

from onehop.engine.cdefs cimport uint8_t, uint16_t, uint32_t
from onehop.engine.packet cimport FlowKey
from onehop.engine.verdict cimport Action

cdef enum:
    FRAME_BYTES = 128      # the room that `put_frame` needs

# A frame with this header; its length. `echo_id` counts where it is an echo.
cdef uint32_t put_frame(const FlowKey* key, uint16_t echo_id, uint8_t* out) noexcept nogil
# Write what an action writes; False: it writes nothing.
cdef bint act(const Action* action, FlowKey* key) noexcept nogil
# What the receiver of `key` sends back, by the port where it came.
cdef void fill_answer(FlowKey* out, const FlowKey* key, uint32_t in_port) noexcept nogil
# Whether `key` is from whom `asked` was sent to, and for who sent it.
cdef bint answers(const FlowKey* key, const FlowKey* asked) noexcept nogil
cdef bint has_echo_id(const FlowKey* key) noexcept nogil
