// SPDX-License-Identifier: EUPL-1.2
//! A weight matrix, dense or packed: what projections and embeddings have in common.

use mlx_core::fast::{self, Operand, Projection, Weight};
use mlx_core::{Array, Dtype, QuantMode, Quantization, dequantize};

use crate::Module;
use crate::adapter::Adapter;
use crate::error::{Error, Result, positive};
use crate::module::{ParamPath, Visitor, VisitorMut};

/// `[rows, columns]`, packed along the columns where it is quantised, and perhaps with an adapter.
#[derive(Clone, Debug)]
pub(crate) struct Matrix {
    rows: i32,
    columns: i32,
    storage: Storage,
    adapter: Option<Box<Adapter>>,
    /// While the adapter is merged: the values without it.
    unmerged: Option<Storage>,
}

#[derive(Clone, Debug)]
enum Storage {
    Dense { weight: Array },
    Packed { weight: Array, scales: Array, biases: Option<Array>, settings: Quantization },
}

impl Matrix {
    /// Zeros in float32, which take no memory before they are evaluated.
    pub(crate) fn zeros(
        row_key: &'static str,
        rows: i32,
        column_key: &'static str,
        columns: i32,
    ) -> Result<Self> {
        let (rows, columns) = (positive(row_key, rows)?, positive(column_key, columns)?);
        let weight = Array::zeros(&[rows, columns], Dtype::Float32)?;
        Ok(Self { rows, columns, storage: Storage::Dense { weight }, adapter: None, unmerged: None })
    }

    pub(crate) fn rows(&self) -> i32 {
        self.rows
    }

    pub(crate) fn columns(&self) -> i32 {
        self.columns
    }

    /// How many numbers it stands for, with those of its adapter.
    pub(crate) fn count(&self) -> usize {
        // Both are at least 1.
        let own = self.rows.unsigned_abs() as usize * self.columns.unsigned_abs() as usize;
        own + self.adapter.as_ref().map_or(0, |adapter| adapter.count())
    }

    pub(crate) fn quantization(&self) -> Option<Quantization> {
        match &self.storage {
            Storage::Dense { .. } => None,
            Storage::Packed { settings, .. } => Some(*settings),
        }
    }

    /// The values, `[rows, columns]`, unpacked where they are packed. Lazy.
    pub(crate) fn dense(&self) -> Result<Array> {
        match &self.storage {
            Storage::Dense { weight } => Ok(weight.clone()),
            Storage::Packed { weight, scales, biases, settings } => {
                Ok(dequantize(weight, scales, biases.as_ref(), *settings, None)?)
            }
        }
    }

    pub(crate) fn adapter(&self) -> Option<&Adapter> {
        self.adapter.as_deref()
    }

    pub(crate) fn adapter_mut(&mut self) -> Option<&mut Adapter> {
        self.adapter.as_deref_mut()
    }

    /// The adapter where passes have to see to it: it is there and not merged.
    pub(crate) fn active(&self) -> Option<&Adapter> {
        if self.unmerged.is_some() { None } else { self.adapter() }
    }

    pub(crate) fn attach(&mut self, adapter: Adapter) -> Result<()> {
        if self.adapter.is_some() {
            return Err(Error::config("adapter", "there is one already"));
        }
        self.adapter = Some(Box::new(adapter));
        Ok(())
    }

    pub(crate) fn detach(&mut self) {
        self.unmerge();
        self.adapter = None;
    }

    pub(crate) fn merge(&mut self) -> Result<()> {
        let Some(adapter) = self.active() else { return Ok(()) };
        let merged = adapter.apply(self)?;
        let before = self.storage.clone();
        self.replace(merged)?;
        self.unmerged = Some(before);
        Ok(())
    }

    pub(crate) fn unmerge(&mut self) {
        if let Some(before) = self.unmerged.take() {
            self.storage = before;
        }
    }

    pub(crate) fn fuse(&mut self, dequantize: bool) -> Result<()> {
        // From the values without the adapter, so that they are not packed twice.
        self.unmerge();
        if let Some(adapter) = self.adapter() {
            let weight = adapter.apply(self)?;
            if dequantize {
                self.storage = Storage::Dense { weight };
            } else {
                self.replace(weight)?;
            }
        }
        self.adapter = None;
        Ok(())
    }

    /// Takes new values; a packed matrix packs them as it was.
    pub(crate) fn replace(&mut self, weight: Array) -> Result<()> {
        if weight.shape() != [self.rows, self.columns] {
            let expected = format!("[{}, {}]", self.rows, self.columns);
            return Err(Error::input("weight", expected, weight.shape()));
        }
        let settings = self.quantization();
        self.storage = Storage::Dense { weight };
        settings.map_or(Ok(()), |settings| self.quantize(settings))
    }

    /// Packs a dense matrix; a packed one must already have these settings.
    pub(crate) fn quantize(&mut self, settings: Quantization) -> Result<()> {
        if !self.accepts(settings)? {
            return Ok(());
        }
        if let Storage::Dense { weight } = &self.storage {
            let packed = weight.quantize(settings)?;
            self.storage = Storage::Packed {
                weight: packed.weight,
                scales: packed.scales,
                biases: packed.biases,
                settings,
            };
        }
        Ok(())
    }

    /// Packed zeros, to be replaced by what a checkpoint has.
    pub(crate) fn pack_empty(&mut self, settings: Quantization) -> Result<()> {
        if !self.accepts(settings)? {
            return Ok(());
        }
        let Quantization { group_size, bits, mode } = settings;
        let groups = [self.rows, self.columns / group_size];
        let affine = mode == QuantMode::Affine;
        let scales = Array::zeros(&groups, if affine { Dtype::Float32 } else { Dtype::Uint8 })?;
        // A group is a multiple of 16 values, so bits of it times groups always fill whole words.
        let words = i64::from(self.columns) * i64::from(bits) / 32;
        let words =
            i32::try_from(words).map_err(|_| Error::config("bits", format!("{words} words a row")))?;
        self.storage = Storage::Packed {
            weight: Array::zeros(&[self.rows, words], Dtype::Uint32)?,
            scales,
            biases: if affine { Some(Array::zeros(&groups, Dtype::Float32)?) } else { None },
            settings,
        };
        Ok(())
    }

    /// Whether there is anything to pack; an error when it cannot be packed that way.
    fn accepts(&self, settings: Quantization) -> Result<bool> {
        let Quantization { group_size, bits, mode } = settings;
        let (groups, widths) = (mode.group_sizes(), mode.bits());
        if !groups.contains(&group_size) {
            return Err(Error::config(
                "group_size",
                format!("expected one of {groups:?} for {mode}, found {group_size}"),
            ));
        }
        if !widths.contains(&bits) {
            return Err(Error::config(
                "bits",
                format!("expected one of {widths:?} for {mode}, found {bits}"),
            ));
        }
        if self.columns % group_size != 0 {
            let message = format!("{} columns are not a multiple of {group_size}", self.columns);
            return Err(Error::config("group_size", message));
        }
        match self.quantization() {
            None => Ok(true),
            Some(found) if found == settings => Ok(false),
            Some(found) => {
                Err(Error::config("quantization", format!("already {}-bit {}", found.bits, found.mode)))
            }
        }
    }

    /// The weight as a product takes it.
    pub(crate) fn weight(&self) -> Weight<'_> {
        match &self.storage {
            Storage::Dense { weight } => Weight::Dense(weight),
            Storage::Packed { weight, scales, biases, settings } => {
                Weight::Packed { weight, scales, biases: biases.as_ref(), format: *settings }
            }
        }
    }

    /// Checks that `x` is `[.., columns]`.
    pub(crate) fn check(&self, layer: &'static str, x: &Array) -> Result<()> {
        match x.shape().last() == Some(&self.columns) {
            true => Ok(()),
            false => Err(Error::input(layer, format!("[.., {}]", self.columns), x.shape())),
        }
    }

    /// `x · Wᵀ` and what `with` adds on top: `[.., columns]` → `[.., rows]`.
    pub(crate) fn project<'a>(
        &'a self,
        layer: &'static str,
        x: impl Into<Operand<'a>>,
        with: impl FnOnce(Projection<'a>) -> Projection<'a>,
    ) -> Result<Array> {
        let x = x.into();
        self.check(layer, x.x)?;
        let projection = with(Projection::new(self.weight()));
        match self.active() {
            None => only(fast::project(x, &[projection])?),
            Some(adapter) => self.adapted(adapter, &x.to_array()?, projection),
        }
    }

    /// [`project`](Self::project) through an adapter.
    pub(crate) fn adapted(&self, adapter: &Adapter, x: &Array, projection: Projection<'_>) -> Result<Array> {
        let Projection { weight, bias, norm, add, wide, .. } = projection;
        let dtype = if wide { Dtype::Float32 } else { x.dtype() };
        let update = adapter.update(x)?.astype(dtype)?;
        // Added before the product is rounded.
        let base = Projection { add: Some(&update), wide, ..Projection::new(weight) };
        let mut y = only(fast::project(x, &[base])?)?;
        if let Some(factor) = adapter.factor(self)? {
            y = (&y * &like(factor, &y)?)?;
        }
        if let Some(bias) = bias {
            y = like((&y + bias)?, &y)?;
        }
        Ok(match (norm, add) {
            (None, None) => y,
            (None, Some(add)) => (&y + add)?,
            (Some(norm), None) => fast::norm(&y, &norm)?,
            (Some(norm), Some(add)) => fast::norm_add(add, &y, &norm)?,
        })
    }

    /// The rows that `ids` name, `[..]` → `[.., columns]`. Of a packed matrix only these are unpacked.
    pub(crate) fn take(&self, ids: &Array) -> Result<Array> {
        let rows = match &self.storage {
            Storage::Dense { weight } => weight.take(ids, 0)?,
            Storage::Packed { weight, scales, biases, settings } => {
                let biases = biases.as_ref().map(|biases| biases.take(ids, 0)).transpose()?;
                let (weight, scales) = (weight.take(ids, 0)?, scales.take(ids, 0)?);
                dequantize(&weight, &scales, biases.as_ref(), *settings, None)?
            }
        };
        self.active().map_or(Ok(rows.clone()), |adapter| adapter.lookup(ids, rows))
    }
}

impl Module for Matrix {
    fn visit<'a>(&'a self, path: &mut ParamPath, visitor: &mut dyn Visitor<'a>) {
        match &self.storage {
            Storage::Dense { weight } => path.within("weight", |path| weight.visit(path, visitor)),
            Storage::Packed { weight, scales, biases, .. } => {
                path.within("weight", |path| weight.visit(path, visitor));
                path.within("scales", |path| scales.visit(path, visitor));
                path.within("biases", |path| biases.visit(path, visitor));
            }
        }
        if let Some(adapter) = &self.adapter {
            adapter.visit(path, visitor);
        }
    }

    fn visit_mut(&mut self, path: &mut ParamPath, visitor: &mut dyn VisitorMut) -> Result<()> {
        match &mut self.storage {
            Storage::Dense { weight } => path.within("weight", |path| weight.visit_mut(path, visitor))?,
            Storage::Packed { weight, scales, biases, .. } => {
                path.within("weight", |path| weight.visit_mut(path, visitor))?;
                path.within("scales", |path| scales.visit_mut(path, visitor))?;
                path.within("biases", |path| biases.visit_mut(path, visitor))?;
            }
        }
        match &mut self.adapter {
            Some(adapter) => adapter.visit_mut(path, visitor),
            None => Ok(()),
        }
    }
}

/// `y` in the dtype of `x`, where that is floating: parameters kept in float32 must not widen what flows through.
pub(crate) fn like(y: Array, x: &Array) -> Result<Array> {
    let dtype = x.dtype();
    if y.dtype() == dtype || !dtype.is_float() {
        return Ok(y);
    }
    Ok(y.astype(dtype)?)
}

/// The one result of a product.
pub(crate) fn only(results: Vec<Array>) -> Result<Array> {
    let [result] = <[Array; 1]>::try_from(results).map_err(|_| Error::config("project", "no result"))?;
    Ok(result)
}
