// The AIE API for the host: what AMD's aie_api offers to kernels of AIE2 and AIE2P cores, with the same
// names, constraints and results, computed by this machine's processor.
//
// Numbers follow the hardware where its behaviour is documented: accumulators of 32 and 64 bits that wrap,
// float accumulators, shifts that round and saturate as the core's control registers say (after reset:
// towards minus infinity, no saturation), denormals flushed in the float path.
#pragma once

#include <array>
#include <cassert>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <tuple>
#include <utility>

#include "host/config.hpp"
#include "host/control.hpp"
#include "host/rounding.hpp"
#include "host/bfloat16.hpp"
#include "host/lanes.hpp"
#include "host/traits.hpp"
#include "host/mask.hpp"
#include "host/vector.hpp"
#include "host/accum.hpp"
#include "host/modifiers.hpp"
#include "host/memory.hpp"
#include "host/mmul.hpp"
#include "host/arithmetic.hpp"
#include "host/bits.hpp"
#include "host/products.hpp"
#include "host/permute.hpp"
#include "host/elementary.hpp"
#include "host/iterators.hpp"
#include "host/circular.hpp"
#include "host/streams.hpp"
#include "host/tensor.hpp"
#include "host/lookup.hpp"
#include "host/sliding.hpp"
#include "host/operators.hpp"
#include "host/intrinsics.hpp"
#include "host/shuffle.hpp"
#include "host/block_vector.hpp"
