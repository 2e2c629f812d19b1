// Blocks of a matrix product on one core: sums of aie::mmul tiles held in registers over the whole block of K.
//
// Layouts in L1, as the memtile's DMA makes them (tiles and elements row-major):
//   A  [M/R][K/S][R][S]
//   B  [K/S][N/T][S][T], or [N/T][K/S][T][S] where B comes transposed
//   C  [M/R][N/T][R][T], the sums too
// Every pointer is aligned for the widest load. Rounding and saturation are set here, not expected.
#pragma once

#include <type_traits>

#include <aie_api/aie.hpp>

#include "loops.hpp"

namespace npukbuild {

// Types of a product: inputs, the tag of the sums in registers, the sums in L1.
template <typename In> struct matmul_types;
template <> struct matmul_types<bfloat16> {
  using tag = accfloat;
  using sum = float;
};
template <> struct matmul_types<int8_t> {
  using tag = acc32;
  using sum = int32_t;
};
template <> struct matmul_types<int16_t> {
  using tag = acc64;
  using sum = int32_t;
};

// The shape of a block: M x K x N elements in tiles of R x S x T, TM x TN of them in registers at once.
template <unsigned M_, unsigned K_, unsigned N_, unsigned R_, unsigned S_, unsigned T_, unsigned TM_, unsigned TN_,
          bool Transposed_>
struct block_shape {
  static constexpr unsigned M = M_, K = K_, N = N_, R = R_, S = S_, T = T_, TM = TM_, TN = TN_;
  static constexpr bool transposed = Transposed_;
  static constexpr unsigned rows = M / R, depth = K / S, columns = N / T;
  static_assert(M % R == 0 && K % S == 0 && N % T == 0, "a block is made of whole tiles");
  static_assert(rows % TM == 0 && columns % TN == 0, "the registers' tiles divide the block");
};

// One tile of B for tile row k and tile column j, as S x T.
template <typename Shape, typename In>
inline auto load_b(const In *__restrict b, unsigned k, unsigned j) {
  constexpr unsigned size = Shape::S * Shape::T;
  if constexpr (Shape::transposed)
    return aie::transpose(aie::load_v<size>(b + (j * Shape::depth + k) * size), Shape::T, Shape::S);
  else
    return aie::load_v<size>(b + (k * Shape::columns + j) * size);
}

// A vector has at most 1024 bits; an accumulator tile of AIE2P has 2048 and is moved in two halves.
template <typename T, unsigned Size> constexpr unsigned lanes_at_once = Size * sizeof(T) <= 128 ? Size : 128 / sizeof(T);

template <typename Tile, typename Tag, typename Sum>
inline Tile load_tile(const Sum *__restrict at) {
  constexpr unsigned size = Tile::size_C, lanes = lanes_at_once<Sum, size>;
  if constexpr (lanes == size) {
    return Tile(aie::load_v<size>(at));
  } else {
    typename Tile::accum_type sums;
    NPUKBUILD_UNROLL
    for (unsigned part = 0; part < size / lanes; ++part)
      sums.insert(part, aie::accum<Tag, lanes>(aie::load_v<lanes>(at + part * lanes)));
    return Tile(sums);
  }
}

template <typename Tile, typename Out>
inline void store_tile(Out *__restrict at, const Tile &tile, int shift = 0) {
  constexpr unsigned size = Tile::size_C, lanes = lanes_at_once<Out, size>;
  if constexpr (lanes == size) {
    aie::store_v(at, tile.template to_vector<Out>(shift));
  } else {
    const typename Tile::accum_type sums = tile.to_accum();
    NPUKBUILD_UNROLL
    for (unsigned part = 0; part < size / lanes; ++part)
      aie::store_v(at + part * lanes, sums.template extract<lanes>(part).template to_vector<Out>(shift));
  }
}

// Runs over the block of K for the TM x TN tiles at tile (i, j), adding to `sums`.
template <typename Shape, typename In, typename Tile>
inline void multiply_tiles(const In *__restrict a, const In *__restrict b, unsigned i, unsigned j,
                           Tile (&sums)[Shape::TM][Shape::TN]) {
  constexpr unsigned size = Shape::R * Shape::S;
  NPUKBUILD_LOOP_MIN(1)
  for (unsigned k = 0; k < Shape::depth; ++k) {
    aie::vector<In, size> left[Shape::TM];
    NPUKBUILD_UNROLL
    for (unsigned y = 0; y < Shape::TM; ++y)
      left[y] = aie::load_v<size>(a + ((i + y) * Shape::depth + k) * size);
    NPUKBUILD_UNROLL
    for (unsigned x = 0; x < Shape::TN; ++x) {
      const auto right = load_b<Shape>(b, k, j + x);
      NPUKBUILD_UNROLL
      for (unsigned y = 0; y < Shape::TM; ++y)
        sums[y][x].mac(left[y], right);
    }
  }
}

// C += A x B on sums kept in L1. Integer sums wrap modulo 2^32.
template <typename Shape, typename In, typename Sum>
inline void multiply_add(const In *__restrict a, const In *__restrict b, Sum *__restrict c) {
  using Tag = typename matmul_types<In>::tag;
  using Tile = aie::mmul<Shape::R, Shape::S, Shape::T, In, In, Tag>;
  constexpr unsigned size = Shape::R * Shape::T;
  if constexpr (sizeof(In) == 2 && sizeof(Sum) == 4 && !std::is_same_v<Sum, float>)
    aie::set_saturation(aie::saturation_mode::none); // 64-bit sums of int16 are stored modulo 2^32
#ifdef AIE_API_EMULATE_BFLOAT16_MMUL_WITH_BFP16
  if constexpr (std::is_same_v<In, bfloat16>)
    aie::set_rounding(aie::rounding_mode::conv_even); // blocks of A and B too round as the register says
#endif
  event0();
  NPUKBUILD_LOOP_MIN(1)
  for (unsigned i = 0; i < Shape::rows; i += Shape::TM) {
    NPUKBUILD_LOOP_MIN(1)
    for (unsigned j = 0; j < Shape::columns; j += Shape::TN) {
      Sum *__restrict at = c + (i * Shape::columns + j) * size;
      Tile sums[Shape::TM][Shape::TN];
      NPUKBUILD_UNROLL
      for (unsigned y = 0; y < Shape::TM; ++y)
        NPUKBUILD_UNROLL
        for (unsigned x = 0; x < Shape::TN; ++x)
          sums[y][x] = load_tile<Tile, Tag>(at + (y * Shape::columns + x) * size);
      multiply_tiles<Shape>(a, b, i, j, sums);
      NPUKBUILD_UNROLL
      for (unsigned y = 0; y < Shape::TM; ++y)
        NPUKBUILD_UNROLL
        for (unsigned x = 0; x < Shape::TN; ++x)
          store_tile(at + (y * Shape::columns + x) * size, sums[y][x]);
    }
  }
  event1();
}

// C = A x B where the block holds all of K: one rounding, from the registers. `shift` applies to integers.
template <typename Shape, typename In, typename Out>
inline void multiply(const In *__restrict a, const In *__restrict b, Out *__restrict c, int shift = 0) {
  using Tag = typename matmul_types<In>::tag;
  using Tile = aie::mmul<Shape::R, Shape::S, Shape::T, In, In, Tag>;
  constexpr unsigned size = Shape::R * Shape::T;
  static_assert(!(sizeof(In) == 2 && std::is_same_v<In, Out> && std::is_integral_v<Out>),
                "int16 sums are wrapped to 32 bits before they are shifted");
  aie::set_rounding(aie::rounding_mode::conv_even);
  if constexpr (std::is_same_v<Out, int32_t>)
    aie::set_saturation(aie::saturation_mode::none); // modulo 2^32
  else
    aie::set_saturation(aie::saturation_mode::saturate);
  event0();
  NPUKBUILD_LOOP_MIN(1)
  for (unsigned i = 0; i < Shape::rows; i += Shape::TM) {
    NPUKBUILD_LOOP_MIN(1)
    for (unsigned j = 0; j < Shape::columns; j += Shape::TN) {
      Out *__restrict at = c + (i * Shape::columns + j) * size;
      Tile sums[Shape::TM][Shape::TN];
      multiply_tiles<Shape>(a, b, i, j, sums);
      NPUKBUILD_UNROLL
      for (unsigned y = 0; y < Shape::TM; ++y)
        NPUKBUILD_UNROLL
        for (unsigned x = 0; x < Shape::TN; ++x)
          store_tile(at + (y * Shape::columns + x) * size, sums[y][x], shift);
    }
  }
  event1();
}

// c[0..Size) = 0.
template <unsigned Size, typename T> inline void zero(T *__restrict c) {
  constexpr unsigned lanes = 32 / sizeof(T);
  static_assert(Size % lanes == 0);
  const aie::vector<T, lanes> nothing = aie::zeros<T, lanes>();
  event0();
  NPUKBUILD_LOOP_MIN(1)
  for (unsigned i = 0; i < Size; i += lanes)
    aie::store_v(c + i, nothing);
  event1();
}

// bf16 from float32, to nearest, ties to even.
template <unsigned Size> inline void convert(const float *__restrict sums, bfloat16 *__restrict c) {
  constexpr unsigned lanes = 16;
  static_assert(Size % lanes == 0);
  aie::set_rounding(aie::rounding_mode::conv_even);
  event0();
  NPUKBUILD_LOOP_MIN(1)
  for (unsigned i = 0; i < Size; i += lanes) {
    aie::accum<accfloat, lanes> sum;
    sum.from_vector(aie::load_v<lanes>(sums + i));
    aie::store_v(c + i, sum.template to_vector<bfloat16>());
  }
  event1();
}

// saturate(round(sum / 2^shift)), halves to even.
template <unsigned Size, typename Out>
inline void requantise(const int32_t *__restrict sums, Out *__restrict c, int shift) {
  // Eight-bit results leave 32-bit accumulators whole vectors of 32 at a time, wider ones 64-bit ones of 16.
  constexpr unsigned lanes = sizeof(Out) == 1 ? 32 : 16;
  using Tag = std::conditional_t<sizeof(Out) == 1, acc32, acc64>;
  static_assert(Size % lanes == 0);
  aie::set_rounding(aie::rounding_mode::conv_even);
  aie::set_saturation(aie::saturation_mode::saturate);
  event0();
  NPUKBUILD_LOOP_MIN(1)
  for (unsigned i = 0; i < Size; i += lanes) {
    aie::accum<Tag, lanes> sum;
    sum.from_vector(aie::load_v<lanes>(sums + i));
    aie::store_v(c + i, sum.template to_vector<Out>(shift));
  }
  event1();
}

} // namespace npukbuild
