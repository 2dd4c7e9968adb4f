// SPDX-License-Identifier: EUPL-1.2
// Evaluation that does not forget failures.

#ifndef MLX_CHECKED_H
#define MLX_CHECKED_H

#include <stdbool.h>
#include <stddef.h>

#include "mlx/c/array.h"
#include "mlx/c/stream.h"
#include "mlx/c/vector.h"

#ifdef __cplusplus
extern "C" {
#endif

/* As mlx_eval, mlx_async_eval, mlx_array_eval, _mlx_array_is_available and mlx_synchronize. After one of them has told
 * that work on this thread's streams failed, each array that this work was to compute, and each graph that needs one,
 * is refused by all of them. `tracing` says that a function is being transformed on this thread. */
int mlx_checked_eval(const mlx_vector_array outputs, bool tracing);
int mlx_checked_async_eval(const mlx_vector_array outputs);
int mlx_checked_array_eval(mlx_array arr, bool tracing);
int mlx_checked_array_is_available(bool* res, const mlx_array arr);
int mlx_checked_synchronize(const mlx_stream s);

/* Fails if the graph behind `outputs` is so deep that MLX's transformations, which walk it by calling themselves, would
 * not come to its end on what is left of this thread's stack, of which they take `frame` bytes for each op. */
int mlx_checked_depth(const mlx_vector_array outputs, size_t frame);

/* Moves what is behind `outputs`, up to `inputs`, to stream `s`, where it is on stream 0 of the same kind of device: there
 * a function from a file puts it, whatever thread it is called on. */
int mlx_checked_rehome(const mlx_vector_array outputs, const mlx_vector_array inputs, const mlx_stream s);

/* Puts an array in row-major order, computed already, in the place of each one without elements among `outputs` and behind
 * them. It has no other value, and kernels of the processor that read it in another layout may not come back: gradients and
 * maps hold such arrays where no op was asked. */
int mlx_checked_fill_empty(const mlx_vector_array outputs);

/* A stream of the processor's that is this thread's alone until it is given back; `lent` says whether it must be, which
 * it need not when more than a thousand are out. What an earlier thread left in it is waited for. */
int mlx_checked_borrow_stream(mlx_stream* res, bool* lent);
/* Gives back what was lent to this thread, by number, as the last thing that it does: from then on it evaluates nothing. */
int mlx_checked_return_streams(const int* indices, size_t num);

#ifdef __cplusplus
}
#endif

#endif
