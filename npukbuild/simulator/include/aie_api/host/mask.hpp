// One bit per element.
#pragma once

#include "traits.hpp"

#include <array>

namespace aie {

template <unsigned Elems>
class mask {
    template <unsigned> friend class mask;

    static constexpr unsigned words = (Elems + 31) / 32;
    static constexpr uint32_t last = Elems % 32 == 0 ? ~0u : (1u << Elems % 32) - 1;

    std::array<unsigned, words> data_;

    constexpr void trim() { data_[words - 1] &= last; }

    template <class F>
    constexpr mask combine(const mask &other, F f) const {
        mask out;
        for (unsigned i = 0; i < words; ++i) out.data_[i] = f(data_[i], other.data_[i]);
        return out;
    }

public:
    static constexpr unsigned size() { return Elems; }

    constexpr explicit mask(bool initial_set = false) : data_() {
        for (auto &word : data_) word = initial_set ? ~0u : 0u;
        trim();
    }

    template <class... T>
    [[deprecated("Use from_uint32 / from_uint64 / from_masks static methods instead")]] constexpr explicit mask(unsigned word, T &&...more)
        : mask(from_uint32(word, static_cast<unsigned>(more)...)) {}

    template <class... T>
    static constexpr mask from_uint32(unsigned word, T... more) {
        static_assert(sizeof...(more) + 1 == words);
        mask out;
        out.data_ = {word, static_cast<unsigned>(more)...};
        out.trim();
        return out;
    }
    template <class... T>
    static constexpr mask from_uint64(uint64_t word, T... more) {
        static_assert(sizeof...(more) + 1 == words / 2 && Elems % 64 == 0);
        mask out;
        unsigned i = 0;
        for (uint64_t w : {word, static_cast<uint64_t>(more)...}) {
            out.data_[i++] = static_cast<unsigned>(w);
            out.data_[i++] = static_cast<unsigned>(w >> 32);
        }
        out.trim();
        return out;
    }
    template <unsigned E, unsigned... Es>
        requires(Elems == (E + (Es + ...)) && ((E == Es) && ...))
    static constexpr mask from_masks(const mask<E> &first, const mask<Es> &...rest) {
        mask out;
        unsigned at = 0;
        auto put = [&](const auto &m) {
            for (unsigned i = 0; i < E; ++i, ++at)
                if (m.test(i)) out.set(at);
        };
        put(first);
        (put(rest), ...);
        return out;
    }

    constexpr bool test(unsigned i) const { return (data_[i / 32] >> i % 32 & 1) != 0; }
    constexpr void set(unsigned i) { data_[i / 32] |= 1u << i % 32; }
    constexpr void clear(unsigned i) { data_[i / 32] &= ~(1u << i % 32); }

    constexpr bool operator==(const mask &other) const { return data_ == other.data_; }
    constexpr mask operator&(const mask &other) const { return combine(other, [](unsigned a, unsigned b) { return a & b; }); }
    constexpr mask operator|(const mask &other) const { return combine(other, [](unsigned a, unsigned b) { return a | b; }); }
    constexpr mask &operator&=(const mask &other) { return *this = *this & other; }
    constexpr mask &operator|=(const mask &other) { return *this = *this | other; }
    constexpr mask operator~() const {
        mask out;
        for (unsigned i = 0; i < words; ++i) out.data_[i] = ~data_[i];
        out.trim();
        return out;
    }
    constexpr mask operator<<(unsigned shift) const {
        mask out;
        for (unsigned i = shift; i < Elems; ++i)
            if (test(i - shift)) out.set(i);
        return out;
    }
    constexpr mask operator>>(unsigned shift) const {
        mask out;
        for (unsigned i = 0; i + shift < Elems; ++i)
            if (test(i + shift)) out.set(i);
        return out;
    }
    constexpr mask &operator<<=(unsigned shift) { return *this = *this << shift; }
    constexpr mask &operator>>=(unsigned shift) { return *this = *this >> shift; }

    constexpr unsigned count() const {
        unsigned total = 0;
        for (unsigned word : data_) total += static_cast<unsigned>(__builtin_popcount(word));
        return total;
    }
    constexpr unsigned clz() const {
        unsigned total = 0;
        for (unsigned i = Elems; i > 0 && !test(i - 1); --i) ++total;
        return total;
    }
    constexpr bool empty() const { return count() == 0; }
    constexpr bool full() const { return count() == Elems; }

    [[deprecated("Use to_uint32 / to_uint64 / get_submask methods instead")]] constexpr const std::array<unsigned, words> &data() const { return data_; }
    constexpr unsigned to_uint32(unsigned i) const { return data_[i]; }
    constexpr unsigned to_uint32() const
        requires(Elems <= 32)
    {
        return data_[0];
    }
    constexpr uint64_t to_uint64(unsigned i) const {
        static_assert(words % 2 == 0, "this mask has no whole 64-bit words");
        return uint64_t(data_[2 * i + 1]) << 32 | data_[2 * i];
    }
    constexpr uint64_t to_uint64() const
        requires(Elems == 64)
    {
        return to_uint64(0);
    }

    template <unsigned ElemsOut>
    constexpr mask<ElemsOut> extract(unsigned idx) const {
        static_assert(ElemsOut <= Elems);
        mask<ElemsOut> out;
        for (unsigned i = 0; i < ElemsOut; ++i)
            if (test(idx * ElemsOut + i)) out.set(i);
        return out;
    }
    template <unsigned ElemsOut>
    [[deprecated("Use .extract<ElemsOut>(idx) instead")]] constexpr mask<ElemsOut> get_submask(unsigned idx) const {
        return this->template extract<ElemsOut>(idx);
    }
    template <unsigned ElemsIn>
    constexpr mask &insert(unsigned idx, const mask<ElemsIn> &m) {
        static_assert(ElemsIn <= Elems);
        for (unsigned i = 0; i < ElemsIn; ++i) {
            if (m.test(i)) set(idx * ElemsIn + i);
            else clear(idx * ElemsIn + i);
        }
        return *this;
    }
};

}  // namespace aie
