"""Facts about rules -> the compiled rules of a chain.

`names` knows the indices of what rules name, as `Topology` does; asking it may move its arrays.
"""

from onehop.engine.cdefs cimport idx_t, uint32_t
from onehop.engine.chain cimport Rule

# The rules, for `chain_fill` to take; NULL only where there are none.
cdef Rule* make_rules(facts, names) except? NULL
# A sorted array of what `index` says of each, to be freed; NULL only where there are none.
cdef idx_t* make_indices(names, index, uint32_t* n) except? NULL
