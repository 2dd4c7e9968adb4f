// SPDX-License-Identifier: EUPL-1.2
//! Keys and values of the tokens that a model has already seen.
//!
//! A [`Cache`] has one [`KvCache`] a layer: [`FullCache`] keeps every token, [`RotatingCache`] the last window's
//! worth. Both hand the layer exactly the keys that its new tokens may look at, in the order of the text, so a
//! result does not depend on how the text was cut into chunks. Both can be cloned for the price of two handles:
//! the arrays are shared until one of the copies grows.
//!
//! Shapes: B batch, K key-value heads, L new and S visible tokens, E head size.

mod full;
mod rotating;
mod whole;

pub use full::FullCache;
pub use rotating::RotatingCache;
pub use whole::WholeTexts;

use std::collections::BTreeSet;
use std::rc::Rc;

use mlx_core::fast::{KvBuffer, Mask};
use mlx_core::{Array, Dtype};
use mlx_nn::attention::{Heads, Place};
use mlx_nn::{Module, checkpoint};

use crate::config::LayerKind;
use crate::error::{Error, Result};

/// How many tokens a buffer grows by, so that it is not copied for every token.
pub(crate) const STEP: i32 = 256;

/// One layer's keys and values.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum KvCache {
    /// Every token.
    Full(FullCache),
    /// The last window's worth of tokens.
    Rotating(RotatingCache),
    /// None at all: every text is seen whole, as in training.
    Whole(WholeTexts),
}

impl KvCache {
    /// A cache that keeps every token.
    #[must_use]
    pub fn full() -> Self {
        Self::Full(FullCache::default())
    }

    /// A cache for a layer in which a token sees itself and the `window - 1` tokens before it.
    ///
    /// # Errors
    /// [`Error::Argument`] when `window` is below 1.
    pub fn rotating(window: i32) -> Result<Self> {
        Ok(Self::Rotating(RotatingCache::new(window)?))
    }

    /// How many tokens went in, which is the position of the next one.
    #[must_use]
    pub fn offset(&self) -> i32 {
        match self {
            Self::Full(cache) => cache.offset(),
            Self::Rotating(cache) => cache.offset(),
            Self::Whole(_) => 0,
        }
    }

    /// Adds `keys` and `values`, `[B, K, L, E]` each, and returns those that the new tokens may look at,
    /// `[B, K, S, E]` each: the last L of them are the new ones. Lazy.
    ///
    /// # Errors
    /// [`Error::Core`] when the shapes do not fit what is cached; the cache is then as it was.
    pub fn append(&mut self, keys: &Array, values: &Array) -> Result<(Array, Array)> {
        match self {
            Self::Full(cache) => cache.append(keys, values),
            Self::Rotating(cache) => cache.append(keys, values),
            Self::Whole(_) => Ok((keys.clone(), values.clone())),
        }
    }

    /// Attention of new tokens over those that they may look at, with their keys and values added to the cache.
    ///
    /// `q`: `[B, L, H·E]`, `k` and `v`: `[B, L, K·E]` → `[B, L, H·E]`. Lazy.
    ///
    /// # Errors
    /// [`Error::Nn`] or [`Error::Core`] when the shapes do not fit; the cache is then as it was.
    pub fn attend(
        &mut self,
        q: &Array,
        k: &Array,
        v: &Array,
        heads: &Heads<'_>,
        pass: &Pass,
    ) -> Result<Array> {
        let mask = pass.mask(self);
        let (&[batch, length, width], position) = (k.shape(), self.offset()) else {
            return Err(Error::CacheShape { expected: "[B, L, K·E]".into(), found: k.shape().to_vec() });
        };
        let size = width / heads.keys.max(1);
        let new =
            Tokens { heads: [batch, heads.keys], length, sizes: [size; 2], dtypes: [k.dtype(), v.dtype()] };
        let body = |buffer: &mut KvBuffer, at, first| {
            let place = Place { position, text: pass.length(), at, first };
            Ok(heads.attend(q, k, v, buffer, place, mask)?)
        };
        match self {
            Self::Full(cache) => cache.write(&new, body),
            Self::Rotating(cache) => cache.write(&new, body),
            Self::Whole(_) => Ok(heads.attend_whole(q, k, v, pass.length(), mask)?),
        }
    }

    /// The mask for `l` tokens that are about to be appended. Layers of one kind share it.
    ///
    /// # Errors
    /// [`Error::Core`] when the mask cannot be built.
    pub fn mask(&self, l: i32) -> Result<CacheMask> {
        if l == 1 {
            // `append` returns nothing but what a single new token may look at.
            return Ok(CacheMask::None);
        }
        match self {
            Self::Full(_) => Ok(CacheMask::Causal),
            Self::Rotating(cache) if cache.visible() + l <= cache.window() => Ok(CacheMask::Causal),
            Self::Rotating(cache) => Ok(CacheMask::Window(cache.window())),
            Self::Whole(texts) => texts.mask(l),
        }
    }

    /// Whether [`trim`](Self::trim) to `offset` tokens can be done.
    #[must_use]
    pub fn can_trim(&self, offset: i32) -> bool {
        match self {
            Self::Full(cache) => (0..=cache.offset()).contains(&offset),
            Self::Rotating(cache) => cache.can_trim(offset),
            Self::Whole(_) => offset == 0,
        }
    }

    /// Forgets all tokens from position `offset` on, exactly as if they had never come.
    ///
    /// # Errors
    /// [`Error::Trim`] when [`can_trim`](Self::can_trim) says no; the cache is then as it was.
    pub fn trim(&mut self, offset: i32) -> Result<()> {
        if !self.can_trim(offset) {
            return Err(Error::Trim { offset, length: self.offset() });
        }
        match self {
            Self::Full(cache) => cache.trim(offset),
            Self::Rotating(cache) => cache.trim(offset),
            Self::Whole(_) => {}
        }
        Ok(())
    }

    fn buffer(&self) -> Option<&KvBuffer> {
        match self {
            Self::Full(cache) => cache.buffer(),
            Self::Rotating(cache) => cache.buffer(),
            Self::Whole(_) => None,
        }
    }

    /// The window of a layer that has one.
    fn window(&self) -> Option<i32> {
        match self {
            Self::Full(_) => None,
            Self::Rotating(cache) => Some(cache.window()),
            Self::Whole(texts) => texts.window(),
        }
    }
}

/// A mask as [`KvCache::mask`] makes it.
#[derive(Clone, Debug)]
pub enum CacheMask {
    /// Every key is visible.
    None,
    /// A token sees those before it and itself.
    Causal,
    /// A token sees itself and so many before it that they make up the window.
    Window(i32),
    /// A token sees what is true in its row: bool `[B, 1, L, S]`.
    Array(Array),
}

impl CacheMask {
    /// The mask as attention takes it.
    #[must_use]
    pub fn as_mask(&self) -> Mask<'_> {
        match self {
            Self::None => Mask::None,
            Self::Causal => Mask::Causal,
            Self::Window(window) => Mask::Window(*window),
            Self::Array(mask) => Mask::Bool(mask),
        }
    }
}

/// What all layers share in one pass, as [`Cache::pass`] makes it.
#[derive(Clone, Debug)]
pub struct Pass {
    full: CacheMask,
    rotating: CacheMask,
    length: i32,
    recompute: Option<Rc<BTreeSet<String>>>,
}

impl Pass {
    /// How many tokens the text has as far as it is known, those of this pass included. Rotary embeddings whose
    /// frequencies depend on it are then the same however the text is cut into chunks.
    #[must_use]
    pub fn length(&self) -> i32 {
        self.length
    }

    /// The mask for the layer with this cache.
    #[must_use]
    pub fn mask(&self, cache: &KvCache) -> Mask<'_> {
        match cache.window() {
            None => self.full.as_mask(),
            Some(_) => self.rotating.as_mask(),
        }
    }

    /// What block `number`, whose path is `model.layers.<number>`, makes of `x`; its inner arrays are computed again for
    /// the gradient where [`Cache::recompute`] says so.
    ///
    /// # Errors
    /// Those of `forward`.
    pub(crate) fn block<M: Module + Clone + 'static>(
        &self,
        number: usize,
        block: &M,
        x: &Array,
        cache: &mut KvCache,
        forward: fn(&M, &Array, &Pass, &mut KvCache) -> Result<Array>,
    ) -> Result<Array> {
        let (Some(trained), KvCache::Whole(texts)) = (&self.recompute, &*cache) else {
            return forward(block, x, self, cache);
        };
        let trainable = |path: &str| trained.contains(&format!("model.layers.{number}.{path}"));
        let (pass, texts) = (self.clone(), texts.clone());
        checkpoint(block, trainable, x, move |block: &M, x| {
            forward(block, x, &pass, &mut KvCache::Whole(texts.clone()))
        })
    }
}

/// The caches of all layers, in order.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    layers: Vec<KvCache>,
    /// How many tokens are known to come, those in the cache included.
    expected: i32,
    /// The parameters that are trained, where blocks compute their inner arrays again for the gradient.
    recompute: Option<Rc<BTreeSet<String>>>,
}

impl Cache {
    /// A cache with these layers.
    #[must_use]
    pub fn new(layers: Vec<KvCache>) -> Self {
        Self { layers, expected: 0, recompute: None }
    }

    /// A cache for layers of these kinds, of which those with a window share one size.
    pub(crate) fn for_layers(kinds: &[LayerKind], window: Option<usize>) -> Result<Self> {
        let window = window.map_or(i32::MAX, |window| i32::try_from(window).unwrap_or(i32::MAX));
        let layers = kinds.iter().map(|kind| match kind {
            LayerKind::FullAttention => Ok(KvCache::full()),
            LayerKind::SlidingAttention => KvCache::rotating(window),
        });
        Ok(Self::new(layers.collect::<Result<_>>()?))
    }

    /// A cache that keeps nothing, for texts that are seen whole, as in training: tokens see those before them, and in
    /// layers with a window those within it.
    ///
    /// Where a row has several texts, `texts` tells them apart: integers `[B, L]`, the same for the tokens of one text, which
    /// see no other.
    ///
    /// # Errors
    /// [`Error::CacheShape`] when `texts` has not two axes.
    pub fn whole(&self, texts: Option<&Array>) -> Result<Self> {
        if let Some(texts) = texts.filter(|texts| texts.ndim() != 2) {
            return Err(Error::CacheShape { expected: "[B, L]".into(), found: texts.shape().to_vec() });
        }
        let layers =
            self.layers.iter().map(|layer| KvCache::Whole(WholeTexts::new(layer.window(), texts.cloned())));
        Ok(Self::new(layers.collect()))
    }

    /// Has blocks compute their inner arrays again when a gradient needs them, instead of keeping them: a pass more for far
    /// less memory. Only for texts that are seen [`whole`](Self::whole).
    ///
    /// Gradients flow to the parameters whose paths are in `trained`, and to no others.
    pub fn recompute(&mut self, trained: Rc<BTreeSet<String>>) {
        self.recompute = Some(trained);
    }

    /// Says that the text will have at least `length` tokens, because a prompt is about to come in chunks.
    pub fn expect(&mut self, length: i32) {
        self.expected = length;
    }

    /// The layers' caches.
    #[must_use]
    pub fn layers(&self) -> &[KvCache] {
        &self.layers
    }

    /// The layers' caches, to be appended to.
    pub fn layers_mut(&mut self) -> &mut [KvCache] {
        &mut self.layers
    }

    /// How many tokens went in, which is the position of the next one.
    #[must_use]
    pub fn offset(&self) -> i32 {
        self.layers.first().map_or(0, KvCache::offset)
    }

    /// Whether [`trim`](Self::trim) to `offset` tokens can be done in every layer.
    #[must_use]
    pub fn can_trim(&self, offset: i32) -> bool {
        self.layers.iter().all(|layer| layer.can_trim(offset))
    }

    /// Forgets all tokens from position `offset` on, in every layer.
    ///
    /// # Errors
    /// [`Error::Trim`] when one layer cannot; then none is changed.
    pub fn trim(&mut self, offset: i32) -> Result<()> {
        if !self.can_trim(offset) {
            return Err(Error::Trim { offset, length: self.offset() });
        }
        self.layers.iter_mut().try_for_each(|layer| layer.trim(offset))
    }

    /// What the layers share for `l` tokens that are about to be appended: a mask for each kind of layer there is.
    ///
    /// # Errors
    /// [`Error::Core`] when a mask cannot be built.
    pub fn pass(&self, l: i32) -> Result<Pass> {
        let first = |rotating: bool| {
            let mut layers = self.layers.iter();
            layers.find(|layer| layer.window().is_some() == rotating)
        };
        let mask = |layer: Option<&KvCache>| layer.map_or(Ok(CacheMask::None), |layer| layer.mask(l));
        let length = self.offset().saturating_add(l).max(self.expected);
        let recompute = self.recompute.clone();
        Ok(Pass { full: mask(first(false))?, rotating: mask(first(true))?, length, recompute })
    }

    /// The keys and values that all layers hold, for evaluating them.
    ///
    /// # Errors
    /// [`Error::Core`] when memory is exhausted.
    pub fn arrays(&self) -> Result<Vec<Array>> {
        let buffers = self.layers.iter().filter_map(KvCache::buffer);
        Ok(buffers.flat_map(|buffer| [buffer.keys(), buffer.values()]).collect::<Result<_, _>>()?)
    }

    /// Bytes that the buffers take, tokens to come included.
    #[must_use]
    pub fn nbytes(&self) -> usize {
        self.layers.iter().filter_map(KvCache::buffer).map(KvBuffer::nbytes).sum()
    }
}

/// What new keys and values are, without their numbers.
struct Tokens {
    /// B, K.
    heads: [i32; 2],
    /// L.
    length: i32,
    /// E of keys and of values.
    sizes: [i32; 2],
    dtypes: [Dtype; 2],
}

impl Tokens {
    /// Those of keys and values, `[B, K, L, E]` each, that were checked.
    fn of(keys: &Array, values: &Array) -> Result<Self> {
        Ok(Self {
            heads: [keys.dim(0)?, keys.dim(1)?],
            length: keys.dim(2)?,
            sizes: [keys.dim(3)?, values.dim(3)?],
            dtypes: [keys.dtype(), values.dtype()],
        })
    }

    /// Buffers of `capacity` tokens that begin with those from one place to another of earlier ones.
    fn grown(&self, earlier: Option<(&KvBuffer, i32, i32)>, capacity: i32) -> Result<KvBuffer> {
        let mut grown = KvBuffer::with_capacity(self.heads, capacity, self.sizes, self.dtypes)?;
        if let Some((earlier, start, stop)) = earlier.filter(|(_, start, stop)| stop > start) {
            let kept = |tokens: Array| tokens.slice_axis(2, start, stop);
            let _seen = grown.append(&kept(earlier.keys()?)?, &kept(earlier.values()?)?, 0, 0)?;
        }
        Ok(grown)
    }
}

/// Checks that `keys` and `values` are `[B, K, L, E]` of the batch, heads, size and dtype that `buffer` has.
fn check(buffer: Option<&KvBuffer>, keys: &Array, values: &Array) -> Result<()> {
    let unfit =
        |found: &Array, expected: String| Error::CacheShape { expected, found: found.shape().to_vec() };
    let &[batch, heads, length, _] = keys.shape() else {
        return Err(unfit(keys, "[B, K, L, E]".into()));
    };
    if values.shape().get(..3) != Some(&[batch, heads, length]) || values.ndim() != 4 {
        return Err(unfit(values, format!("[{batch}, {heads}, {length}, E], as the keys have it")));
    }
    if let Some(buffer) = buffer
        && let &[b, k, _, e] = buffer.keys_shape()
        && (b != batch || k != heads || keys.shape().get(3) != Some(&e))
    {
        return Err(unfit(keys, format!("[{b}, {k}, L, {e}], as the cache has it")));
    }
    Ok(())
}

/// The next multiple of [`STEP`].
fn round_up(tokens: i32) -> i32 {
    tokens.div_euclid(STEP).saturating_add(i32::from(tokens.rem_euclid(STEP) > 0)).saturating_mul(STEP)
}
