// Core functions of the golden designs in plain C++: clear, not fast on the array. float32 inside, one rounding
// to nearest even at the end. T(r,c)[R][C] are row-major tiles of r x c, R rows by C columns of tiles.
#include <cmath>
#include <cstdint>
#include <cstring>

#ifndef AIE_I8_R
#if __AIE_ARCH__ == 21
#define AIE_I8_R 8
#else
#define AIE_I8_R 4
#endif
#endif

namespace {

using bf16 = uint16_t;

float widen(bf16 x) {
  uint32_t bits = uint32_t(x) << 16;
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}

bf16 narrow(float f) {
  uint32_t bits;
  std::memcpy(&bits, &f, 4);
  return bf16((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

float value(bf16 x) { return widen(x); }
int32_t value(int8_t x) { return x; }

// Unpack T(r,c)[R/r][C/c] into a row-major R x C matrix.
template <int R, int C, int r, int c, class In, class Out>
void unpack(const In *in, Out *out) {
  for (int i = 0; i < R; i++)
    for (int j = 0; j < C; j++)
      out[i * C + j] = value(in[((i / r) * (C / c) + j / c) * r * c + (i % r) * c + j % c]);
}

template <int M, int K, int N, class T>
void product(const T *a, const T *b, T *c) {
  for (int i = 0; i < M; i++)
    for (int l = 0; l < K; l++)
      for (int j = 0; j < N; j++) c[i * N + j] += a[i * K + l] * b[l * N + j];
}

template <int M, int K, int N, int r, int s, int t, class In, class Acc>
void accumulate(const In *A, const In *B, Acc *C) {
  Acc a[M * K], b[K * N], c[M * N];
  unpack<M, K, r, s>(A, a);
  unpack<K, N, s, t>(B, b);
  std::memset(c, 0, sizeof c);
  product<M, K, N>(a, b, c);
  for (int i = 0; i < M; i++)
    for (int j = 0; j < N; j++) C[((i / r) * (N / t) + j / t) * r * t + (i % r) * t + j % t] += c[i * N + j];
}

template <int M, int K, int N>
void whole(const bf16 *A, const bf16 *B, bf16 *C) {
  float c[M * N];
  std::memset(c, 0, sizeof c);
  accumulate<M, K, N, 4, 8, 4>(A, B, c);
  for (int i = 0; i < M * N; i++) C[i] = narrow(c[i]);
}

void softmax(const float *x, float *y, int n) {
  float top = x[0], sum = 0;
  for (int i = 1; i < n; i++) top = x[i] > top ? x[i] : top;
  for (int i = 0; i < n; i++) sum += y[i] = std::exp(x[i] - top);
  for (int i = 0; i < n; i++) y[i] /= sum;
}

}  // namespace

extern "C" {

void mm_bf16_64x64x64(const bf16 *A, const bf16 *B, bf16 *C) { whole<64, 64, 64>(A, B, C); }
void mm_bf16_16x64x64(const bf16 *A, const bf16 *B, bf16 *C) { whole<16, 64, 64>(A, B, C); }

#define GEMM(M, K, N)                                                                        \
  void zero_f32_##M##x##N(float *c) { std::memset(c, 0, sizeof(float) * M * N); }            \
  void mm_bf16_f32_##M##x##K##x##N(const bf16 *A, const bf16 *B, float *C) {                 \
    accumulate<M, K, N, 4, 8, 4>(A, B, C);                                                   \
  }                                                                                          \
  void cvt_f32_bf16_##M##x##N(const float *c, bf16 *out) {                                   \
    for (int i = 0; i < M * N; i++) out[i] = narrow(c[i]);                                   \
  }
GEMM(32, 64, 64)
GEMM(16, 64, 128)
GEMM(48, 64, 64)

void zero_i32_64x64(int32_t *c) { std::memset(c, 0, 4 * 64 * 64); }
void mm_i8_i32_64x64x64(const int8_t *A, const int8_t *B, int32_t *C) {
  accumulate<64, 64, 64, AIE_I8_R, 8, 8>(A, B, C);
}
void requant_i32_i8_64x64(const int32_t *acc, int8_t *out, int32_t shift) {
  for (int i = 0; i < 64 * 64; i++) {
    int32_t v = acc[i] >> shift;
    out[i] = int8_t(v < -128 ? -128 : v > 127 ? 127 : v);
  }
}

void gelu_bf16(const bf16 *x, bf16 *y, int32_t n) {
  for (int i = 0; i < n; i++) {
    float v = widen(x[i]);
    y[i] = narrow(0.5f * v * (1.0f + std::tanh(0.7978845608f * (v + 0.044715f * v * v * v))));
  }
}

void softmax_masked_bf16(const bf16 *x, bf16 *y, int32_t n_in, int32_t n_out, int32_t valid) {
  float a[4096], b[4096];
  for (int i = 0; i < n_in; i++) a[i] = widen(x[i]);
  softmax(a, b, valid);
  for (int i = 0; i < n_out; i++) y[i] = i < valid ? narrow(b[i]) : 0;
}
void softmax_bf16(const bf16 *x, bf16 *y, int32_t n) { softmax_masked_bf16(x, y, n, n, n); }

void layernorm_bf16(const bf16 *x, const bf16 *gamma, const bf16 *beta, bf16 *y, int32_t rows, int32_t d) {
  for (int r = 0; r < rows; r++) {
    double mean = 0, square = 0;
    for (int i = 0; i < d; i++) mean += widen(x[r * d + i]);
    mean /= d;
    for (int i = 0; i < d; i++) square += (widen(x[r * d + i]) - mean) * (widen(x[r * d + i]) - mean);
    double scale = 1.0 / std::sqrt(square / d + 1e-5);
    for (int i = 0; i < d; i++)
      y[r * d + i] = narrow(float((widen(x[r * d + i]) - mean) * scale * widen(gamma[i]) + widen(beta[i])));
  }
}

void qkt_scaled_bf16_f32_16x64x64(const bf16 *Q, const bf16 *K, float *S) {
  float q[16 * 64], k[64 * 64];
  unpack<16, 64, 4, 8>(Q, q);
  unpack<64, 64, 4, 8>(K, k);  // [n/4][k/8][4][8], key major
  for (int i = 0; i < 16; i++)
    for (int j = 0; j < 64; j++) {
      float sum = 0;
      for (int l = 0; l < 64; l++) sum += q[i * 64 + l] * k[j * 64 + l];
      S[((i / 4) * 16 + j / 4) * 16 + (i % 4) * 4 + j % 4] = sum / 8;
    }
}

void softmax_rows_f32_bf16_16x64(const float *S, bf16 *P) {
  for (int i = 0; i < 16; i++) {
    float row[64], out[64];
    for (int j = 0; j < 64; j++) row[j] = S[((i / 4) * 16 + j / 4) * 16 + (i % 4) * 4 + j % 4];
    softmax(row, out, 64);
    for (int j = 0; j < 64; j++) P[((i / 4) * 8 + j / 8) * 32 + (i % 4) * 8 + j % 8] = narrow(out[j]);
  }
}

}  // extern "C"
