// SPDX-License-Identifier: EUPL-1.2
// What an op tells about its run, so that evaluation can remember failures.

#pragma once

#include "mlx/array.h"

namespace checked {

// On the thread that evaluates: work for `out` was given to a stream.
void started(const mlx::core::array& out);

} // namespace checked
