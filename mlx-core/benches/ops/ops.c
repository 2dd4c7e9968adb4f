// SPDX-License-Identifier: EUPL-1.2
// The loops of `ops.rs` in C, on mlx-c: what the library itself costs.
//
// Reads lines `OP BATCHES` and answers each with `NANOSECONDS 0`. What an op is, and how many of them make a batch, has
// to be kept the same by hand.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mlx/c/mlx.h"

#define BATCH 64

static mlx_stream stream;
static mlx_array square;   // [4, 4] of float32
static mlx_array row;      // [4] of float32
static mlx_array half;     // [4, 4] of bfloat16
static mlx_array weight;   // [4] of bfloat16
static mlx_array yes;      // [4, 4] of bool

static void must(int status) {
  if (status != 0) {
    exit(1);
  }
}

static void add(mlx_array* out) { must(mlx_add(out, square, row, stream)); }
static void multiply(mlx_array* out) { must(mlx_multiply(out, square, square, stream)); }
static void constant(mlx_array* out) {
  mlx_array value = mlx_array_new_float32(1.5f);
  must(mlx_add(out, square, value, stream));
  mlx_array_free(value);
}
static void matmul(mlx_array* out) { must(mlx_matmul(out, square, square, stream)); }
static void exponential(mlx_array* out) { must(mlx_exp(out, square, stream)); }
static void sum(mlx_array* out) { must(mlx_sum_axis(out, square, -1, false, stream)); }
static void softmax(mlx_array* out) { must(mlx_softmax_axis(out, square, -1, true, stream)); }
static void reshape(mlx_array* out) {
  const int shape[] = {2, 8};
  must(mlx_reshape(out, square, shape, 2, stream));
}
static void transpose(mlx_array* out) { must(mlx_transpose(out, square, stream)); }
static void slice(mlx_array* out) {
  const int start[] = {1, 0}, stop[] = {3, 4}, steps[] = {1, 1};
  must(mlx_slice(out, square, start, 2, stop, 2, steps, 2, stream));
}
static void expand(mlx_array* out) { must(mlx_expand_dims(out, square, 0, stream)); }
static void cast(mlx_array* out) { must(mlx_astype(out, square, MLX_BFLOAT16, stream)); }
static void choose(mlx_array* out) { must(mlx_where(out, yes, square, square, stream)); }
static void join(mlx_array* out) {
  const mlx_array parts[] = {square, square};
  mlx_vector_array vector = mlx_vector_array_new_data(parts, 2);
  must(mlx_concatenate_axis(out, vector, 0, stream));
  mlx_vector_array_free(vector);
}
static void norm(mlx_array* out) { must(mlx_fast_rms_norm(out, half, weight, 1e-5f, stream)); }
static void copy(mlx_array* out) { must(mlx_array_set(out, square)); }

static const struct {
  const char* name;
  void (*run)(mlx_array*);
} ops[] = {
    {"add", add},         {"multiply", multiply}, {"add_constant", constant}, {"matmul", matmul},
    {"exp", exponential}, {"sum", sum},           {"softmax", softmax},       {"reshape", reshape},
    {"transpose", transpose}, {"slice", slice},   {"expand_dims", expand},    {"astype", cast},
    {"where", choose},    {"concatenate", join},  {"rms_norm", norm},         {"clone", copy},
};

static mlx_array filled(const int* shape, int dims, mlx_dtype dtype) {
  mlx_array out = mlx_array_new();
  must(mlx_ones(&out, shape, (size_t)dims, dtype, stream));
  must(mlx_array_eval(out));
  return out;
}

int main(void) {
  const int shape[] = {4, 4};
  stream = mlx_default_cpu_stream_new();
  square = filled(shape, 2, MLX_FLOAT32);
  row = filled(shape, 1, MLX_FLOAT32);
  half = filled(shape, 2, MLX_BFLOAT16);
  weight = filled(shape, 1, MLX_BFLOAT16);
  yes = filled(shape, 2, MLX_BOOL);

  char name[64];
  unsigned long batches;
  while (scanf("%63s %lu", name, &batches) == 2) {
    void (*run)(mlx_array*) = NULL;
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
      if (strcmp(ops[i].name, name) == 0) {
        run = ops[i].run;
      }
    }
    if (run == NULL) {
      return 1;
    }
    mlx_array outs[BATCH];
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (unsigned long b = 0; b < batches; b++) {
      for (int i = 0; i < BATCH; i++) {
        outs[i] = mlx_array_new();
        run(&outs[i]);
      }
      for (int i = 0; i < BATCH; i++) {
        mlx_array_free(outs[i]);
      }
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%lld 0\n", (end.tv_sec - start.tv_sec) * 1000000000LL + (end.tv_nsec - start.tv_nsec));
    fflush(stdout);
  }
  return 0;
}
