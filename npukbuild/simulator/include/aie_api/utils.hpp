#pragma once

#include "aie.hpp"
#include "host/loops.hpp"
#include "host/print.hpp"
