// SPDX-License-Identifier: EUPL-1.2
//! Arithmetic with constants that were computed in float64, in the array's dtype.

use mlx_core::Array;

use crate::error::Result;

/// An array and a number that does not change its dtype.
pub(crate) trait Constant {
    /// `x · c`.
    fn times(&self, c: f64) -> Result<Array>;
    /// `x + c`.
    fn plus(&self, c: f64) -> Result<Array>;
}

impl Constant for Array {
    fn times(&self, c: f64) -> Result<Array> {
        Ok((self * &self.scalar_like(c)?)?)
    }

    fn plus(&self, c: f64) -> Result<Array> {
        Ok((self + &self.scalar_like(c)?)?)
    }
}
