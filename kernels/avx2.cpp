// The library of all AVX2 kernels says which sources it was built from, so that a stale one is
// refused and not called with arguments it does not know.

#include "vector.h"

LENGTHWISE_API lengthwise::Index lengthwise_sources() { return LENGTHWISE_SOURCES; }
