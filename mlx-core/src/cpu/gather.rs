// SPDX-License-Identifier: EUPL-1.2
//! Products with chosen matrices, dense or packed: the experts of a mixture.
//!
//! Rows that meet the same matrix are brought together and multiplied in one product, so that each matrix that was
//! chosen is read once, and none that was not is touched.

use std::ffi::CStr;

use mlx_cpu::Isa;
use mlx_cpu::gemm::{Out, Part, Weight, project};
use mlx_cpu::{Rows, RowsMut};

use super::product::broadcast;
use super::project::Held;
use super::view::{Flat, Matrix, elements_mut, length, with_element};
use super::{Fused, Node, enabled, is_native};
use crate::custom::{Spec, View, apply_raw};
use crate::error::{Error, Result};
use crate::{Array, Dtype, QuantMode, Quantization};

/// Which matrices are multiplied; an operand without indices uses its own in order.
#[derive(Clone, Copy)]
pub(crate) struct Chosen<'a> {
    pub(crate) lhs: Option<&'a Array>,
    pub(crate) rhs: Option<&'a Array>,
    /// The caller's promise that `rhs` is in ascending order.
    pub(crate) sorted: bool,
}

/// `a[lhs] · b[rhs]`, or nothing where MLX shall see to it. The shapes fit, and the indices are integers in range.
pub(crate) fn gather_mm(a: &Array, b: &Array, chosen: Chosen<'_>) -> Option<Result<Array>> {
    if b.dtype() != a.dtype() || !serves(a, b) {
        return None;
    }
    let n = b.shape().last().copied()?;
    apply(&[a, b], b.shape(), n, Kind::Dense, chosen)
}

/// `x[lhs] · W[rhs]`, or with the transposed of packed matrices, `n` results a row.
pub(crate) fn gather_qmm(
    x: &Array,
    [weight, scales]: [&Array; 2],
    biases: Option<&Array>,
    transpose: bool,
    format: Quantization,
    n: i32,
    chosen: Chosen<'_>,
) -> Option<Result<Array>> {
    let dtype = x.dtype();
    let affine = format.mode == QuantMode::Affine;
    let alike = (!affine || scales.dtype() == dtype) && biases.is_none_or(|biases| biases.dtype() == dtype);
    if !alike || !serves(x, weight) {
        return None;
    }
    let operands: Vec<&Array> = [x, weight, scales].into_iter().chain(biases).collect();
    apply(&operands, weight.shape(), n, Kind::Packed { transpose, format }, chosen)
}

fn serves(x: &Array, weight: &Array) -> bool {
    is_native(x.dtype()) && x.size() > 0 && weight.size() > 0 && x.ndim() >= 2 && enabled()
}

fn apply(
    operands: &[&Array],
    weight: &[i32],
    n: i32,
    kind: Kind,
    chosen: Chosen<'_>,
) -> Option<Result<Array>> {
    let x = operands.first()?;
    let [x_batch @ .., rows, _] = x.shape() else { return None };
    let [w_batch @ .., _, _] = weight else { return None };
    let batch =
        broadcast(chosen.lhs.map_or(x_batch, Array::shape), chosen.rhs.map_or(w_batch, Array::shape))?;
    let shape = [&batch[..], &[*rows, n]].concat();
    let indices = |array: Option<&Array>| {
        array
            .map(|array| match array.dtype() {
                Dtype::Uint32 | Dtype::Int32 => Ok(array.clone()),
                // As MLX has them.
                _ => array.astype(Dtype::Uint32),
            })
            .transpose()
    };
    let build = || {
        let (lhs, rhs) = (indices(chosen.lhs)?, indices(chosen.rhs)?);
        let inputs: Vec<&Array> = operands.iter().copied().chain(&lhs).chain(&rhs).collect();
        let node = Gather { kind, lhs: lhs.is_some(), rhs: rhs.is_some(), sorted: chosen.sorted };
        apply_raw(Node(node), &inputs, [Spec::new(&shape, x.dtype())]).map(|[product]| product)
    };
    Some(build())
}

/// Inputs: `x`, the matrices (words, scales and, for affine, biases), and the indices that there are.
#[derive(Clone)]
struct Gather {
    kind: Kind,
    lhs: bool,
    rhs: bool,
    sorted: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    Dense,
    Packed { transpose: bool, format: Quantization },
}

impl Kind {
    /// How many inputs make up the matrices.
    fn parts(self) -> usize {
        match self {
            Self::Dense => 1,
            Self::Packed { format, .. } => 2 + usize::from(format.mode == QuantMode::Affine),
        }
    }
}

/// The inputs by what they are.
struct Operands<'a, I> {
    x: &'a I,
    weight: &'a [I],
    lhs: Option<&'a I>,
    rhs: Option<&'a I>,
}

impl Gather {
    fn operands<'a, I>(&self, inputs: &'a [I]) -> Result<Operands<'a, I>> {
        let missing = || Error::shape("gather", "an input is missing");
        let (x, rest) = inputs.split_first().ok_or_else(missing)?;
        let (weight, indices) = rest.split_at_checked(self.kind.parts()).ok_or_else(missing)?;
        let mut indices = indices.iter();
        let mut next = |wanted: bool| if wanted { indices.next() } else { None };
        let (lhs, rhs) = (next(self.lhs), next(self.rhs));
        Ok(Operands { x, weight, lhs, rhs })
    }
}

impl Fused for Gather {
    const NAME: &'static CStr = c"gather_mm";

    fn eval(&self, inputs: &[View<'_>], outputs: &mut [View<'_>]) -> Result<()> {
        let [x, ..] = inputs else { return Ok(()) };
        with_element!(x.dtype(), "gather_mm", compute::<_>(self, inputs, outputs))
    }

    fn composite(&self, inputs: &[Array]) -> Result<Vec<Array>> {
        let Operands { x, weight, lhs, rhs } = self.operands(inputs)?;
        Ok(vec![match (self.kind, weight) {
            (Kind::Dense, [weight]) => x.plain_gather_mm(weight, lhs, rhs, self.sorted)?,
            (Kind::Packed { transpose, format }, [weight, scales, rest @ ..]) => x.plain_gather_qmm(
                [weight, scales],
                rest.first(),
                [lhs, rhs],
                transpose,
                format,
                self.sorted,
            )?,
            _ => return Err(Error::shape("gather", "an input is missing")),
        }])
    }

    /// `∂x` is the sum of the products of `∂y` with the same matrices the other way round; the rest is left to the
    /// composite.
    fn vjp(&self, primals: &[Array], cotangents: &[Array], argnums: &[usize]) -> Result<Vec<Array>> {
        let [y] = cotangents else { return Err(Error::shape("gather", "a cotangent is missing")) };
        let others: Vec<usize> = argnums.iter().copied().filter(|&i| i != 0).collect();
        let mut rest = Vec::new();
        if !others.is_empty() {
            let (function, chosen) = self.function_of(primals, &others);
            rest = crate::transform::vjp(function, &chosen, cotangents)?.1;
        }
        let mut rest = rest.into_iter();
        argnums
            .iter()
            .map(|&i| match i {
                0 => self.to_x(primals, y),
                _ => rest.next().ok_or_else(|| Error::shape("gather", "a gradient is missing")),
            })
            .collect()
    }
}

impl Gather {
    /// The gradient of `x`.
    fn to_x(&self, primals: &[Array], y: &Array) -> Result<Array> {
        let Operands { x, weight, lhs, rhs } = self.operands(primals)?;
        let (Some(shape), [x_batch @ .., rows, inner]) = (y.shape().split_last_chunk::<2>(), x.shape())
        else {
            return Err(Error::shape("gather", "an input is missing"));
        };
        let batch = shape.0;
        let matrices = |array: &Array| -> Result<i32> {
            let (outer, _) = array.shape().split_at(array.ndim().saturating_sub(2));
            Ok(outer.iter().product())
        };
        // `y` has a matrix for each pair, and with them an index for the matrix it met.
        let in_order = |of: &Array| {
            let (outer, _) = of.shape().split_at(of.ndim().saturating_sub(2));
            Array::arange(0.0, f64::from(matrices(of)?), 1.0, Dtype::Uint32)?.reshape(outer)
        };
        let spread = |given: Option<&Array>, of: &Array| match given {
            Some(indices) => indices.broadcast_to(batch),
            None => in_order(of)?.broadcast_to(batch),
        };
        let weights = weight.first().ok_or_else(|| Error::shape("gather", "an input is missing"))?;
        let rhs = spread(rhs, weights)?;
        let chosen = |rhs| Chosen { lhs: None, rhs: Some(rhs), sorted: self.sorted };
        let back = match (self.kind, weight) {
            (Kind::Packed { transpose, format }, [weight, scales, rest @ ..]) => {
                y.gather_qmm(weight, scales, rest.first(), None, Some(&rhs), !transpose, format, self.sorted)?
            }
            _ => {
                let other = weights.swap_axes(-1, -2)?;
                match gather_mm(y, &other, chosen(&rhs)) {
                    Some(back) => back?,
                    None => y.gather_mm(&other, None, Some(&rhs), self.sorted)?,
                }
            }
        };
        if lhs.is_none() && batch == x_batch {
            return Ok(back);
        }
        let lhs = spread(lhs, x)?.reshape(&[-1])?;
        let updates = back.reshape(&[-1, 1, *rows, *inner])?;
        let sum = Array::zeros(&[matrices(x)?, *rows, *inner], y.dtype())?;
        sum.scatter_add(&[&lhs], &updates, &[0])?.reshape(x.shape())
    }
}

/// A matrix that was chosen, held for the kernel.
enum Expert<'a, T> {
    /// And whether its columns are the outputs.
    Dense(Matrix<'a, T>, bool),
    Packed(Held<'a, T>, bool),
}

impl<'a, T: mlx_cpu::Element> Expert<'a, T> {
    fn of(kind: Kind, weight: &[View<'a>], index: usize) -> Result<Self> {
        let parts = weight
            .iter()
            .map(|view| view.matrix(index).ok_or_else(|| out_of_range(index, view.matrices())))
            .collect::<Result<Vec<_>>>()?;
        match (kind, &parts[..]) {
            (Kind::Packed { transpose, format }, parts) => {
                Ok(Self::Packed(Held::packed(format, &mut parts.iter())?, transpose))
            }
            (Kind::Dense, [view]) => {
                let (matrix, columns) = super::product::right(view)?;
                Ok(Self::Dense(matrix, columns))
            }
            _ => Err(Error::shape("gather", "an input is missing")),
        }
    }

    fn lend(&self) -> Result<Weight<'_, T>> {
        Ok(match self {
            Self::Dense(matrix, true) => Weight::Columns(matrix.rows()?),
            Self::Dense(matrix, false) => Weight::Rows(matrix.rows()?),
            Self::Packed(held, transpose) => match (held.lend()?, *transpose) {
                (Weight::Packed(matrix), false) => Weight::PackedColumns(matrix),
                (weight, _) => weight,
            },
        })
    }
}

fn out_of_range(index: usize, count: usize) -> Error {
    Error::shape("gather", format!("index {index} is out of range of {count} matrices"))
}

/// One index for each result.
fn indices(view: Option<&View<'_>>, own: &[i32], batch: &[i32]) -> Result<Vec<usize>> {
    let values: Vec<usize> = match view {
        None => (0..own.iter().map(|&dim| length(dim)).product()).collect(),
        Some(view) if view.dtype() == Dtype::Int32 => {
            Flat::<i32>::of(view)?.iter().map(|&i| usize::try_from(i).unwrap_or(usize::MAX)).collect()
        }
        Some(view) => Flat::<u32>::of(view)?.iter().map(|&i| i as usize).collect(),
    };
    let shape = view.map_or(own, View::shape);
    if shape == batch {
        return Ok(values);
    }
    // Broadcast: an axis of length 1, or one that is missing, stays where it is.
    let mut spread = vec![0usize];
    let mut place = vec![(0usize, 0usize); batch.len()];
    let mut step = 1;
    for (axis, &dim) in batch.iter().enumerate().rev() {
        let own = (axis + shape.len()).checked_sub(batch.len()).and_then(|axis| shape.get(axis));
        let own = own.map_or(1, |&dim| length(dim));
        place[axis] = (length(dim), if own == 1 { 0 } else { step });
        step *= own;
    }
    for (dim, step) in place {
        spread = spread.iter().flat_map(|&start| (0..dim).map(move |i| start + i * step)).collect();
    }
    spread.into_iter().map(|i| values.get(i).copied().ok_or_else(|| out_of_range(i, values.len()))).collect()
}

fn compute<T: mlx_cpu::Element + Default>(
    op: &Gather,
    inputs: &[View<'_>],
    outputs: &mut [View<'_>],
) -> Result<()> {
    let Operands { x, weight, lhs, rhs } = op.operands(inputs)?;
    let ([out], Some(first)) = (outputs, weight.first()) else { return Ok(()) };
    let (&[ref batch @ .., m, n], [x_batch @ .., _, k], [w_batch @ .., _, _]) =
        (out.shape(), x.shape(), first.shape())
    else {
        return Ok(());
    };
    let (m, n, k) = (length(m), length(n), length(*k));
    let lhs = indices(lhs, x_batch, batch)?;
    let rhs = indices(rhs, w_batch, batch)?;
    let results = elements_mut::<T>(out);
    let each = m * n;
    if each == 0 {
        return Ok(());
    }
    let isa = Isa::current();
    let operand = |i: usize| -> Result<Matrix<'_, T>> {
        Matrix::of(&x.matrix(i).ok_or_else(|| out_of_range(i, x.matrices()))?)
    };
    // Results by the matrix they want, each group in order.
    let mut order: Vec<usize> = (0..rhs.len()).collect();
    order.sort_by_key(|&i| rhs[i]);
    let groups: Vec<&[usize]> = order.chunk_by(|&i, &j| rhs[i] == rhs[j]).collect();

    // One `x` for all, as a single token has: one call for all matrices.
    if let Some(&shared) = lhs.first()
        && groups.len() == rhs.len()
        && lhs.iter().all(|&i| i == shared)
    {
        let experts = rhs.iter().map(|&i| Expert::<T>::of(op.kind, weight, i)).collect::<Result<Vec<_>>>()?;
        let parts = experts
            .iter()
            .zip(results.chunks_exact_mut(each))
            .map(|(expert, out)| part(expert, out, m, n))
            .collect::<Result<Vec<_>>>()?;
        return Ok(project(isa, operand(shared)?.rows()?, None, &parts)?);
    }

    let (mut gathered, mut product): (Vec<T>, Vec<T>) = (Vec::new(), Vec::new());
    for group in groups {
        let (&[first, ..], &[.., last]) = (group, group) else { continue };
        let expert = Expert::<T>::of(op.kind, weight, rhs[first])?;
        let rows = group.len() * m;
        // Results that are neighbours are written where they belong.
        let neighbours = last - first + 1 == group.len();
        let out = if neighbours {
            &mut results[first * each..(last + 1) * each]
        } else {
            product.resize(group.len() * each, T::default());
            &mut product[..group.len() * each]
        };
        let part = part(&expert, out, rows, n)?;
        if group.len() == 1 {
            project(isa, operand(lhs[first])?.rows()?, None, &[part])?;
        } else {
            gathered.clear();
            for &i in group {
                let matrix = operand(lhs[i])?;
                let matrix = matrix.rows()?;
                (0..m).for_each(|row| gathered.extend_from_slice(matrix.row(row)));
            }
            project(isa, Rows::new(&gathered, rows, k, k)?, None, &[part])?;
        }
        if !neighbours {
            for (&i, product) in group.iter().zip(product.chunks_exact(each)) {
                results[i * each..(i + 1) * each].copy_from_slice(product);
            }
        }
    }
    Ok(())
}

fn part<'a, T: mlx_cpu::Element>(
    expert: &'a Expert<'_, T>,
    out: &'a mut [T],
    rows: usize,
    n: usize,
) -> Result<Part<'a, T>> {
    let out = Out::Same(RowsMut::new(out, rows, n, n)?);
    Ok(Part { weight: expert.lend()?, bias: None, gate: None, norm: None, add: None, out })
}
