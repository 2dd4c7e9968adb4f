// SPDX-License-Identifier: EUPL-1.2
// Ops whose behaviour is a table of C functions; they run on MLX's CPU streams.

#ifndef MLX_CUSTOM_H
#define MLX_CUSTOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mlx/c/array.h"
#include "mlx/c/stream.h"
#include "mlx/c/vector.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One operand or result as `eval` sees it: valid for that call only. `data` is null when there are no elements. */
typedef struct mlx_custom_view_ {
  void* data;
  const int32_t* shape;
  const int64_t* strides; /* in elements */
  size_t ndim;
  size_t size;
  mlx_dtype dtype;
  bool row_contiguous;
} mlx_custom_view;

/* Where the elements of a result lie. */
typedef enum mlx_custom_layout_ {
  MLX_CUSTOM_ROW_MAJOR, /* in a new buffer, the last axis fastest */
  MLX_CUSTOM_ZEROED,    /* the same, filled with zeros */
  MLX_CUSTOM_STRIDED,   /* in a new buffer, with strides that leave no gap */
  MLX_CUSTOM_ALIAS      /* in the buffer of an operand: the op writes in place, into the part that it owns */
} mlx_custom_layout;

typedef struct mlx_custom_spec_ {
  const int32_t* shape;
  size_t ndim;
  mlx_dtype dtype;
  mlx_custom_layout layout;
  const int64_t* strides; /* in elements; for the last two layouts */
  size_t input;           /* for an alias: which operand */
  int64_t offset;         /* for an alias: elements between that operand's first one and the result's */
} mlx_custom_spec;

/* Each function returns 0, or anything else for failure. None may throw or unwind. A null pointer stands for an op that
 * cannot do this; `eval` and `release` must be there. */
typedef struct mlx_custom_table_ {
  /* On the stream's thread. A failure is told with mlx_custom_message. */
  int (*eval)(
      const void* state,
      const mlx_custom_view* inputs,
      size_t inputs_num,
      mlx_custom_view* outputs,
      size_t outputs_num,
      void* sink);
  /* On the calling thread; the vectors are lent. Fills `res` with one cotangent for each of `argnums`. */
  int (*vjp)(
      const void* state,
      const mlx_vector_array primals,
      const mlx_vector_array cotangents,
      const int* argnums,
      size_t argnums_num,
      const mlx_vector_array outputs,
      mlx_vector_array* res);
  /* Fills `res` with one tangent for each output. */
  int (*jvp)(
      const void* state,
      const mlx_vector_array primals,
      const mlx_vector_array tangents,
      const int* argnums,
      size_t argnums_num,
      mlx_vector_array* res);
  /* `axes` has the mapped axis of each input, or -1. Fills `res` with the outputs, whose mapped axis is `res_axis`. */
  int (*vmap)(
      const void* state,
      const mlx_vector_array inputs,
      const int* axes,
      size_t axes_num,
      mlx_vector_array* res,
      int* res_axis);
  /* For a graph compiled for any shape: tells the shape of each output with mlx_custom_shape. */
  int (*output_shapes)(const void* state, const mlx_vector_array inputs, void* sink);
  /* Whether two ops with this table compute the same. */
  bool (*is_equivalent)(const void* state, const void* other);
  /* Once, on any thread. */
  void (*release)(void* state);
} mlx_custom_table;

/* Makes the node and its outputs. `outputs` has `specs_num` slots, empty or full. `name`, `table` and what it points to
 * live for ever; `state` is taken over, on failure too. */
int mlx_custom_apply(
    mlx_array* outputs,
    const mlx_custom_spec* specs,
    size_t specs_num,
    const mlx_array* inputs,
    size_t inputs_num,
    const char* name,
    const mlx_custom_table* table,
    void* state,
    const mlx_stream s);

/* An array in memory that somebody else owns, row-major, until `release` is called with `payload`, once, on any thread.
 *
 * On the CPU, MLX hands out memory behind a word with its length, so the eight bytes before `data` must be readable.
 * Where the memory of arrays is another kind, this fails, and `payload` stays with the caller; else it is taken over. */
int mlx_custom_lend(
    mlx_array* res,
    void* data,
    const int32_t* shape,
    size_t ndim,
    mlx_dtype dtype,
    void* payload,
    void (*release)(void* payload));

/* The same for memory with nothing in front, which must hold eight bytes at least and be writable: an op that is the last
 * to need the array may put its result there. */
int mlx_custom_give(
    mlx_array* res,
    void* data,
    const int32_t* shape,
    size_t ndim,
    mlx_dtype dtype,
    void* payload,
    void (*release)(void* payload));

/* What `eval` says about a failure; `text` need not end in a NUL. */
void mlx_custom_message(void* sink, const char* text, size_t len);

/* What `output_shapes` says about the next output. */
int mlx_custom_shape(void* sink, const int32_t* shape, size_t ndim);

#ifdef __cplusplus
}
#endif

#endif
