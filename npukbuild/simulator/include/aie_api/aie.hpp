#pragma once
#include "host/memory.hpp"
#include "host/mmul.hpp"
