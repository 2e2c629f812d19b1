// Shift-round-saturate and float-to-bfloat16, the two places where a core rounds.
#pragma once

#include "control.hpp"

namespace npuk {

// A rounding decision depends on where the discarded part lies (0: nothing, 1: below half, 2: half,
// 3: above half), on the sign, and on the kept part's lowest bit. A mode is thus a table of 16 bits,
// indexed by place | negative << 2 | odd << 3, whose bit says "one unit up".
enum class domain { twos_complement, sign_magnitude };

template <domain D>
constexpr bool rounds_up(unsigned mode, unsigned place, bool negative, bool odd) {
    if (place == 0) return false;
    // Up means towards +infinity in two's complement and away from zero in sign and magnitude.
    const bool up_is_away = D == domain::sign_magnitude || !negative;
    const bool up_is_positive = D == domain::twos_complement || !negative;
    const bool nearest_up = place == 3;
    const bool tie = place == 2;
    switch (mode) {
        case rnd_floor: return !up_is_positive;
        case rnd_ceil: return up_is_positive;
        case rnd_sym_floor: return !up_is_away;
        case rnd_sym_ceil: return up_is_away;
        case rnd_neg_inf: return nearest_up || (tie && !up_is_positive);
        case rnd_pos_inf: return nearest_up || (tie && up_is_positive);
        case rnd_sym_zero: return nearest_up || (tie && !up_is_away);
        case rnd_sym_inf: return nearest_up || (tie && up_is_away);
        case rnd_conv_even: return nearest_up || (tie && odd);
        case rnd_conv_odd: return nearest_up || (tie && !odd);
        default: return !up_is_positive;  // reserved encodings
    }
}

struct rounding_tables {
    uint16_t up[2][16];
};

template <domain D>
constexpr uint16_t rounding_table(unsigned mode) {
    unsigned table = 0;
    for (unsigned index = 0; index < 16; ++index)
        if (rounds_up<D>(mode, index & 3, (index & 4) != 0, (index & 8) != 0)) table |= 1u << index;
    return static_cast<uint16_t>(table);
}

constexpr rounding_tables make_rounding_tables() {
    rounding_tables tables{};
    for (unsigned mode = 0; mode < 16; ++mode) {
        tables.up[0][mode] = rounding_table<domain::twos_complement>(mode);
        tables.up[1][mode] = rounding_table<domain::sign_magnitude>(mode);
    }
    return tables;
}

inline constexpr rounding_tables rounding = make_rounding_tables();

// float bits to bfloat16 bits. Denormals keep their bits; a NaN stays a NaN.
constexpr uint16_t bf16_round(uint32_t bits, uint32_t table) {
    const uint32_t rest = bits & 0xffff;
    const uint32_t kept = bits >> 16;
    const uint32_t place = (rest != 0) + (rest >= 0x8000) + (rest > 0x8000);
    const uint32_t index = place | (bits >> 31) << 2 | (kept & 1) << 3;
    const uint32_t rounded = kept + ((table >> index) & 1);
    const bool special = (bits & 0x7f800000) == 0x7f800000;
    const bool lost_nan = rest != 0 && (bits & 0x007f0000) == 0;
    return static_cast<uint16_t>(special ? kept + lost_nan : rounded);
}

constexpr uint16_t bf16_nearest_even(uint32_t bits) {
    return bf16_round(bits, rounding_table<domain::sign_magnitude>(rnd_conv_even));
}

// An accumulator lane shifted right by `shift`, rounded. A negative shift goes left.
template <class Wide>
NPUK_INLINE Wide srs_round(Wide value, int shift, uint32_t table) {
    using U = std::make_unsigned_t<Wide>;
    constexpr int bits = sizeof(Wide) * 8;
    if (shift <= 0) return shift <= -bits ? 0 : static_cast<Wide>(static_cast<U>(value) << -shift);
    if (shift >= bits) shift = bits - 1;
    const U half = U(1) << (shift - 1);
    const U rest = static_cast<U>(value) & (half + (half - 1));
    const Wide kept = value >> shift;
    const unsigned place = (rest != 0) + (rest >= half) + (rest > half);
    const unsigned index = place | unsigned(value < 0) << 2 | unsigned(kept & 1) << 3;
    return kept + static_cast<Wide>((table >> index) & 1);
}

// The range that saturation enforces; wrap means no range.
struct limits {
    int64_t low;
    int64_t high;
};

template <unsigned Bits, bool Signed>
constexpr limits saturation_limits(unsigned mode) {
    const int64_t high = Signed ? (int64_t(1) << (Bits - 1)) - 1 : (int64_t(1) << Bits) - 1;
    const int64_t low = Signed ? (mode == 3 ? -high : -high - 1) : 0;
    return {low, high};
}

}  // namespace npuk
