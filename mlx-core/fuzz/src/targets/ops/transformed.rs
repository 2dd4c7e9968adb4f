// SPDX-License-Identifier: EUPL-1.2
//! What transformations make of a call: gradients, derivatives along a direction, and maps.

use mlx_core::{Array, Result, transform};

use super::{Bytes, is_small, pick, plain};

/// A call, its operands and what it gives.
struct Called<'a> {
    /// What chose the call.
    bytes: Bytes<'a>,
    operands: Vec<Array>,
    results: Vec<Array>,
}

impl<'a> Called<'a> {
    /// Nothing if the results are so large that what leads to them or back takes long.
    fn new(bytes: &mut Bytes<'a>, made: &[Array]) -> Result<Option<Self>> {
        let operands: Vec<Array> = (0..2).map(|_| pick(bytes, made).clone()).collect();
        let start = bytes.clone();
        let results = plain(bytes, &operands)?;
        Ok(results.iter().all(is_small).then_some(Self { bytes: start, operands, results }))
    }

    fn again(&self) -> impl FnOnce(&[Array]) -> Result<Vec<Array>> {
        |operands| plain(&mut self.bytes.clone(), operands)
    }
}

/// The gradient by each operand, of its shape.
pub(super) fn pulled(bytes: &mut Bytes<'_>, made: &[Array]) -> Result<Vec<Array>> {
    let Some(called) = Called::new(bytes, made)? else { return Ok(Vec::new()) };
    let ones = called.results.iter().map(Array::ones_like).collect::<Result<Vec<_>>>()?;
    let (results, gradients) = transform::vjp(called.again(), &called.operands, &ones)?;
    same_shapes(&results, &called.results);
    same_shapes(&gradients, &called.operands);
    Ok(gradients)
}

/// The derivative of each result along a direction, of its shape.
pub(super) fn pushed(bytes: &mut Bytes<'_>, made: &[Array]) -> Result<Vec<Array>> {
    let Some(called) = Called::new(bytes, made)? else { return Ok(Vec::new()) };
    let ones = called.operands.iter().map(Array::ones_like).collect::<Result<Vec<_>>>()?;
    let (results, derivatives) = transform::jvp(called.again(), &called.operands, &ones)?;
    same_shapes(&results, &called.results);
    same_shapes(&derivatives, &called.results);
    Ok(derivatives)
}

/// The call for each part of the operands along an axis.
pub(super) fn mapped(bytes: &mut Bytes<'_>, made: &[Array]) -> Result<Vec<Array>> {
    let axes = [bytes.flag().then(|| bytes.int()), bytes.flag().then(|| bytes.int())];
    let out = bytes.int();
    let operands: Vec<Array> = (0..2).map(|_| pick(bytes, made).clone()).collect();
    let start = bytes.clone();
    let results =
        transform::vmap(|operands: &[Array]| plain(&mut start.clone(), operands), &operands, axes, out)?;
    Ok(results)
}

fn same_shapes(found: &[Array], wanted: &[Array]) {
    assert_eq!(found.len(), wanted.len());
    for (found, wanted) in found.iter().zip(wanted) {
        assert_eq!(found.shape(), wanted.shape());
    }
}
