// What a library says of itself: the sources it was built from, so that a stale one is refused and not
// called with arguments it does not know, and how many numbers it computes at a time.

#include "vector.h"

LENGTHWISE_API lengthwise::Index lengthwise_sources() { return LENGTHWISE_SOURCES; }
LENGTHWISE_API int lengthwise_lanes() { return lengthwise::LANES; }
