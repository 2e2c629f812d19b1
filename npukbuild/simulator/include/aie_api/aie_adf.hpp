// Stream and window adapters of AMD ADF graphs do not exist on Ryzen AI NPUs; the API itself does.
#pragma once

#include "aie.hpp"
