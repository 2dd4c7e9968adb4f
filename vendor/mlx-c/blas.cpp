// SPDX-License-Identifier: EUPL-1.2
// Puts OpenBLAS in front of the reference BLAS that MLX's Linux wheels bring along.
//
// libmlx calls three CBLAS routines, each through the procedure linkage table, and libmlxc comes before the
// reference BLAS in the order of symbol lookup. What is defined here therefore wins. The OpenBLAS of the
// scipy-openblas32 wheel has the prefix `scipy_` on every name, so the routines have to be forwarded.

#include <cstdio>
#include <cstdlib>

extern "C" {

using Order = int;
using Transpose = int;

void scipy_cblas_sgemm(Order, Transpose, Transpose, int, int, int, float, const float*, int, const float*, int,
                       float, float*, int);
void scipy_cblas_dgemm(Order, Transpose, Transpose, int, int, int, double, const double*, int, const double*, int,
                       double, double*, int);
void scipy_cblas_cgemm(Order, Transpose, Transpose, int, int, int, const void*, const void*, int, const void*,
                       int, const void*, void*, int);
int scipy_openblas_get_num_threads();
void scipy_openblas_set_num_threads(int);

__attribute__((visibility("default"))) void cblas_sgemm(
    Order order, Transpose ta, Transpose tb, int m, int n, int k, float alpha, const float* a, int lda,
    const float* b, int ldb, float beta, float* c, int ldc) {
  scipy_cblas_sgemm(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

__attribute__((visibility("default"))) void cblas_dgemm(
    Order order, Transpose ta, Transpose tb, int m, int n, int k, double alpha, const double* a, int lda,
    const double* b, int ldb, double beta, double* c, int ldc) {
  scipy_cblas_dgemm(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

__attribute__((visibility("default"))) void cblas_cgemm(
    Order order, Transpose ta, Transpose tb, int m, int n, int k, const void* alpha, const void* a, int lda,
    const void* b, int ldb, const void* beta, void* c, int ldc) {
  scipy_cblas_cgemm(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

} // extern "C"

namespace {

// OpenBLAS starts one thread for each processor it may run on, which the time quota of a container does not
// change: on a large host with a quota of two it would start dozens that are then throttled together.
int quota_of_control_group() {
  std::FILE* file = std::fopen("/sys/fs/cgroup/cpu.max", "r");
  if (file == nullptr) {
    return 0;
  }
  long quota = 0;
  long period = 0;
  const int read = std::fscanf(file, "%ld %ld", &quota, &period);
  std::fclose(file);
  if (read != 2 || quota <= 0 || period <= 0) {
    return 0; // `max` in place of a number means that there is no limit.
  }
  return static_cast<int>((quota + period - 1) / period);
}

__attribute__((constructor)) void limit_blas_threads() {
  for (const char* name : {"OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS"}) {
    if (std::getenv(name) != nullptr) {
      return; // The user has decided.
    }
  }
  const int quota = quota_of_control_group();
  if (quota > 0 && quota < scipy_openblas_get_num_threads()) {
    scipy_openblas_set_num_threads(quota);
  }
}

} // namespace
