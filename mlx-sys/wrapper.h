// SPDX-License-Identifier: EUPL-1.2
// The headers that `cargo xtask bindings` makes src/bindings.rs from.
#include "mlx/c/mlx.h"
#include "mlx/c/checked.h"
#include "mlx/c/custom.h"
