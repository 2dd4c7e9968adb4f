// SPDX-License-Identifier: EUPL-1.2
//! Weights in few bits, layer by layer, and back.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use mlx_core::{Dtype, QuantMode, Quantization, dequantize};
use mlx_nn::{Layer, ParamPath, Visitor, adapter, params};

use crate::architecture::Weights;
use crate::config::QuantizationConfig;
use crate::control::{CancelToken, Progress};
use crate::error::{Error, Result};
use crate::load::Model;
use crate::model::CausalLm;
use crate::pattern::Pattern;

/// How to quantise: the first rule that fits a layer decides, else the recipe, else the settings.
#[derive(Clone, Debug, Default)]
pub struct QuantizeOptions {
    /// For every layer. Default affine, 4 bits, groups of 64.
    pub settings: Quantization,
    /// Chooses the bits of each layer in place of those of the settings, which must be affine. Default none.
    pub recipe: Option<Recipe>,
    /// For single layers. Default none.
    pub rules: Vec<Rule>,
    /// What everything becomes before it is packed, so what stays dense, the scales and the computation are of it:
    /// float16, bfloat16 or float32. Default as it is.
    pub dtype: Option<Dtype>,
    /// A flag that ends the work when it is set. Default none.
    pub cancel: Option<CancelToken>,
    /// Told how many parameter arrays are done, and of how many. Default none.
    pub progress: Option<Progress>,
}

/// Few bits for most layers and more for those that need them, as mlx-lm chooses them: values and the second layer of
/// feed-forward parts in the first and last eighth of the blocks and in each third one between them, and the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipe {
    /// 2 and 6 bits.
    Mixed2_6,
    /// 3 and 4 bits.
    Mixed3_4,
    /// 3 and 6 bits.
    Mixed3_6,
    /// 4 and 6 bits.
    Mixed4_6,
}

impl Recipe {
    /// Every recipe.
    pub const ALL: [Self; 4] = [Self::Mixed2_6, Self::Mixed3_4, Self::Mixed3_6, Self::Mixed4_6];

    /// The name, such as `mixed_4_6`; [`FromStr`] reads it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mixed2_6 => "mixed_2_6",
            Self::Mixed3_4 => "mixed_3_4",
            Self::Mixed3_6 => "mixed_3_6",
            Self::Mixed4_6 => "mixed_4_6",
        }
    }

    /// Bits of most layers, and of those that get more.
    #[must_use]
    pub const fn bits(self) -> (i32, i32) {
        match self {
            Self::Mixed2_6 => (2, 6),
            Self::Mixed3_4 => (3, 4),
            Self::Mixed3_6 => (3, 6),
            Self::Mixed4_6 => (4, 6),
        }
    }

    /// Whether the layer at `path` gets more bits in a network of so many blocks.
    fn favours(self, path: &str, blocks: usize) -> bool {
        if path.contains("lm_head") {
            return true;
        }
        let block = path.strip_prefix("model.layers.").and_then(|rest| rest.split('.').next()?.parse().ok());
        let block: usize = block.unwrap_or(0);
        let eighth = blocks / 8;
        let chosen = block < eighth || block >= 7 * blocks / 8 || (block - eighth) % 3 == 2;
        chosen && (path.contains("v_proj") || path.contains("down_proj"))
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Recipe {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|recipe| recipe.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            let message = format!("expected one of {known}, found {name:?}");
            Error::Argument { argument: "recipe", message }
        })
    }
}

/// Settings for the layers whose path fits a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// For paths such as `model.layers.0.self_attn.v_proj`, which are the same for every kind of checkpoint.
    pub pattern: Pattern,
    /// How these layers are packed; none to leave them dense.
    pub settings: Option<Quantization>,
}

impl FromStr for Rule {
    type Err = Error;

    /// Reads `PATTERN=SETTING`. A setting is bits for affine packing, with or without a group size (`6` or `6:32`), the
    /// name of another mode (`mxfp8`), or `skip`.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = |what: String| Error::Argument { argument: "rule", message: format!("{text:?}: {what}") };
        let Some((pattern, setting)) = text.rsplit_once('=').filter(|(pattern, _)| !pattern.is_empty())
        else {
            return Err(wrong("expected PATTERN=SETTING, such as *.v_proj=6".into()));
        };
        let settings = match setting {
            "skip" => None,
            _ if setting.starts_with(|c: char| c.is_ascii_digit()) => {
                let (bits, group) = setting.split_once(':').unwrap_or((setting, "64"));
                let number = |part: &str| {
                    part.parse().map_err(|_| wrong(format!("{part:?} is not a number of bits or values")))
                };
                Some(Quantization {
                    bits: number(bits)?,
                    group_size: number(group)?,
                    mode: QuantMode::Affine,
                })
            }
            _ => {
                let mode = setting.parse().map_err(|_| {
                    wrong(format!(
                        "{setting:?} is no setting: expected bits (6), bits and group size (6:32), \
                         affine, mxfp4, nvfp4, mxfp8 or skip"
                    ))
                })?;
                Some(Quantization::of(mode))
            }
        };
        if let Some(settings) = settings {
            settings.validate().map_err(|error| wrong(error.to_string()))?;
        }
        Ok(Self { pattern: Pattern::new(pattern), settings })
    }
}

/// A layer that stayed dense, since its width is no multiple of the group size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uneven {
    /// The layer's path.
    pub path: String,
    /// Its width.
    pub width: i32,
    /// Values that would have shared a scale.
    pub group_size: i32,
}

impl QuantizeOptions {
    fn check(&self) -> Result<()> {
        let refuse = |argument, message| Err(Error::Argument { argument, message });
        let named = self.rules.iter().filter_map(|rule| rule.settings);
        for settings in [self.settings].into_iter().chain(named) {
            if let Err(error) = settings.validate() {
                return refuse("quantize", error.to_string());
            }
        }
        if let (Some(recipe), mode @ (QuantMode::Mxfp4 | QuantMode::Nvfp4 | QuantMode::Mxfp8)) =
            (self.recipe, self.settings.mode)
        {
            return refuse("recipe", format!("{recipe} is for mode affine, found {mode}"));
        }
        self.dtype.map_or(Ok(()), check_dtype)
    }

    /// What most layers get.
    fn usual(&self) -> Quantization {
        let bits = self.recipe.map_or(self.settings.bits, |recipe| recipe.bits().0);
        Quantization { bits, ..self.settings }
    }

    /// What the layer at `path` gets.
    fn choose(&self, path: &str, blocks: usize) -> Option<Quantization> {
        if let Some(rule) = self.rules.iter().find(|rule| rule.pattern.matches(path)) {
            return rule.settings;
        }
        let usual = self.usual();
        let bits = match self.recipe {
            Some(recipe) if recipe.favours(path, blocks) => recipe.bits().1,
            _ => usual.bits,
        };
        Some(Quantization { bits, ..usual })
    }
}

impl Model {
    /// This model with its projections and the embedding packed. Evaluates, layer by layer, so that no more than one
    /// dense layer is in memory beside what is packed: the others are still in the files.
    ///
    /// Returns the layers that stayed dense although no rule says so, too.
    ///
    /// # Errors
    /// [`Error::Argument`] when the model is packed already, when an option is outside its domain, when a rule fits no
    /// layer, or when nothing would be packed; [`Error::Cancelled`].
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_models::Result<()> {
    /// # let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/tiny-chat-qwen3");
    /// use mlx_core::Quantization;
    /// use mlx_models::QuantizeOptions;
    /// let settings = Quantization { group_size: 32, ..Quantization::default() };
    /// let rules = vec!["*.v_proj=8:32".parse()?, "model.embed_tokens=skip".parse()?];
    /// let options = QuantizeOptions { settings, rules, ..QuantizeOptions::default() };
    /// let (model, uneven) = mlx_models::load(dir)?.quantize(&options)?;
    /// assert!(uneven.is_empty());
    /// assert!(model.bits_per_weight() < 16.0);
    /// # Ok(()) }
    /// ```
    pub fn quantize(mut self, options: &QuantizeOptions) -> Result<(Self, Vec<Uneven>)> {
        options.check()?;
        let refuse = |argument, message| Err(Error::Argument { argument, message });
        if self.quantization.is_some() {
            let file = self.config.path().display();
            return refuse("quantize", format!("the weights of {file} are quantised already"));
        }
        if let Some((path, _)) = adapter::adapters(self.network()).first() {
            return refuse("quantize", format!("{path} has an adapter: fuse it first, or add it afterwards"));
        }
        let layers = layers(self.network());
        if let Some(rule) =
            options.rules.iter().find(|rule| !layers.iter().any(|(path, _)| rule.pattern.matches(path)))
        {
            let example = layers.first().map_or("", |(path, _)| path);
            let message =
                format!("{:?} fits no layer; they have paths such as {example}", rule.pattern.to_string());
            return refuse("rule", message);
        }
        let blocks = self.network().spec().layers;
        let (mut plan, mut uneven) = (BTreeMap::new(), Vec::new());
        for (path, width) in layers {
            let mut settings = options.choose(&path, blocks);
            if let Some(Quantization { group_size, .. }) = settings.filter(|q| width % q.group_size != 0) {
                uneven.push(Uneven { path: path.clone(), width, group_size });
                settings = None;
            }
            plan.insert(path, settings);
        }
        if plan.values().all(Option::is_none) {
            let message = match uneven.first() {
                Some(Uneven { path, width, group_size }) => format!(
                    "no layer can be packed; the width of {path}, {width}, is no multiple of the group size {group_size}"
                ),
                None => "no layer is to be packed".into(),
            };
            return refuse("quantize", message);
        }
        if let Some(dtype) = options.dtype {
            self.cast(dtype)?;
        }
        params::quantize(self.network.as_mut(), |path| plan.get(path).copied().flatten())?;
        self.evaluate(options.cancel.as_ref(), options.progress.as_ref())?;
        let default = options.usual();
        let name = |path: &str| self.architecture.file_name(&self.config, path);
        let own = plan.into_iter().filter(|(_, settings)| *settings != Some(default));
        let layers = own.map(|(path, settings)| (name(&path), settings)).collect();
        self.set_quantization(Some(QuantizationConfig { default, layers }));
        Ok((self, uneven))
    }

    /// As [`quantize`](Self::quantize), with these settings for every layer, none of which may stay dense.
    ///
    /// # Errors
    /// As [`quantize`](Self::quantize); [`Error::Argument`] with a layer whose width is no multiple of the group size.
    pub fn quantized(self, settings: Quantization) -> Result<Self> {
        let Quantization { group_size, .. } = settings;
        let mut layers = layers(self.network()).into_iter();
        // Groups of no size are refused below.
        if let Some((path, width)) = layers.find(|(_, width)| group_size > 0 && width % group_size != 0) {
            let message =
                format!("the width of {path}, {width}, is no multiple of the group size {group_size}");
            return Err(Error::Argument { argument: "quantize", message });
        }
        let options = QuantizeOptions { settings, ..QuantizeOptions::default() };
        self.quantize(&options).map(|(model, _)| model)
    }

    /// This model with every layer dense, in `dtype` or the one that it computes in. Lazy: weights take memory when they
    /// are computed with, or [saved](Self::save_into).
    ///
    /// # Errors
    /// [`Error::Argument`] when nothing is packed, or `dtype` is not float16, bfloat16 or float32.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_models::Result<()> {
    /// # let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/qwen3-tied-4bit");
    /// let model = mlx_models::load(dir)?.dequantized(None)?;
    /// assert!(model.quantization().is_none());
    /// # Ok(()) }
    /// ```
    pub fn dequantized(mut self, dtype: Option<Dtype>) -> Result<Self> {
        if self.quantization.is_none() {
            let message = format!("the weights of {} are not quantised", self.config.path().display());
            return Err(Error::Argument { argument: "dequantize", message });
        }
        if let Some(dtype) = dtype {
            check_dtype(dtype)?;
        }
        let packed = packed(self.network());
        let parameters = params::parameters(self.network());
        let mut weights: Weights =
            parameters.into_iter().map(|(path, array)| (path, array.clone())).collect();
        // All floating parameters are of one dtype, and a norm is always floating.
        let own = weights.values().map(|array| array.dtype()).find(|dtype| dtype.is_float());
        let target = dtype.or(own).unwrap_or(Dtype::Float32);
        for (path, settings) in packed {
            let key = format!("{path}.weight");
            let mut part = |name: &str| weights.remove(&format!("{path}.{name}"));
            if let (Some(weight), Some(scales), biases) = (part("weight"), part("scales"), part("biases")) {
                let dense = dequantize(&weight, &scales, biases.as_ref(), settings, None)?.astype(target)?;
                weights.insert(key, dense);
            }
        }
        for array in weights.values_mut().filter(|array| array.dtype().is_float()) {
            *array = array.astype(target)?;
        }
        self.set_quantization(None);
        self.network = self.architecture.build(&self.config, weights, None)?;
        if let Some(dtype) = dtype {
            self.config = self.config.with_dtype(dtype);
        }
        Ok(self)
    }

    /// Turns what is floating into `dtype`. Lazy.
    ///
    /// # Errors
    /// [`Error::Nn`] when `dtype` is not floating.
    pub fn cast(&mut self, dtype: Dtype) -> Result<()> {
        params::cast(self.network.as_mut(), dtype)?;
        self.config = self.config.clone().with_dtype(dtype);
        Ok(())
    }

    /// Evaluates one parameter after the other, so that what each was made of goes before the next is made.
    fn evaluate(&self, cancel: Option<&CancelToken>, progress: Option<&Progress>) -> Result<()> {
        let parameters = params::parameters(self.network());
        for (i, (_, array)) in parameters.iter().enumerate() {
            if cancel.is_some_and(CancelToken::is_cancelled) {
                return Err(Error::Cancelled);
            }
            array.eval()?;
            if let Some(progress) = progress {
                progress.report(i + 1, parameters.len());
            }
        }
        Ok(())
    }

    pub(crate) fn set_quantization(&mut self, quantization: Option<QuantizationConfig>) {
        self.config = self.config.clone().with_quantization(quantization.as_ref());
        self.quantization = quantization;
    }
}

/// Checks that a network can compute in `dtype`.
fn check_dtype(dtype: Dtype) -> Result<()> {
    if matches!(dtype, Dtype::Float16 | Dtype::Bfloat16 | Dtype::Float32) {
        return Ok(());
    }
    let message = format!("expected float16, bfloat16 or float32, found {dtype}");
    Err(Error::Argument { argument: "dtype", message })
}

/// The paths of the layers that can be packed, and their widths.
fn layers(network: &dyn CausalLm) -> Vec<(String, i32)> {
    let mut found = Vec::new();
    each_layer(network, |path, layer| match layer {
        Layer::Linear(linear) => found.push((path.to_owned(), linear.inputs())),
        Layer::Embedding(embedding) => found.push((path.to_owned(), embedding.dim())),
        _ => {}
    });
    found
}

/// The paths of the layers that are packed, and how.
fn packed(network: &dyn CausalLm) -> Vec<(String, Quantization)> {
    let mut found = Vec::new();
    each_layer(network, |path, layer| {
        let settings = match layer {
            Layer::Linear(linear) => linear.quantization(),
            Layer::Embedding(embedding) => embedding.quantization(),
            _ => None,
        };
        found.extend(settings.map(|settings| (path.to_owned(), settings)));
    });
    found
}

/// Shows every layer to `see`.
fn each_layer(network: &dyn CausalLm, see: impl FnMut(&str, Layer<'_>)) {
    struct Layers<F>(F);
    impl<'a, F: FnMut(&str, Layer<'_>)> Visitor<'a> for Layers<F> {
        fn parameter(&mut self, _path: &str, _value: &'a mlx_core::Array) {}
        fn layer(&mut self, path: &str, layer: Layer<'a>) -> bool {
            (self.0)(path, layer);
            false
        }
    }
    network.visit(&mut ParamPath::new(), &mut Layers(see));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_favour_the_layers_that_mlx_lm_favours() {
        // For 28 blocks, eighths of 3 and from 24 on; between them each third one from 5.
        let favoured: Vec<usize> = (0..28)
            .filter(|i| Recipe::Mixed4_6.favours(&format!("model.layers.{i}.mlp.down_proj"), 28))
            .collect();
        assert_eq!(favoured, [0, 1, 2, 5, 8, 11, 14, 17, 20, 23, 24, 25, 26, 27]);
        for (path, blocks, expected) in [
            ("lm_head", 28, true),
            ("model.embed_tokens", 28, false),
            ("model.layers.0.self_attn.v_proj", 28, true),
            ("model.layers.0.self_attn.q_proj", 28, false),
            ("model.layers.3.self_attn.v_proj", 28, false),
            // Fewer than eight blocks have no first eighth.
            ("model.layers.0.mlp.down_proj", 3, false),
            ("model.layers.2.mlp.down_proj", 3, true),
        ] {
            assert_eq!(Recipe::Mixed2_6.favours(path, blocks), expected, "{path} of {blocks}");
        }
    }

    #[test]
    fn rules_are_a_pattern_and_a_setting() {
        let rule = |text: &str| text.parse::<Rule>().map(|rule| (rule.pattern.to_string(), rule.settings));
        let affine = |bits, group_size| Some(Quantization { bits, group_size, mode: QuantMode::Affine });
        for (text, pattern, settings) in [
            ("*.v_proj=6", "*.v_proj", affine(6, 64)),
            ("a=b=8:32", "a=b", affine(8, 32)),
            ("*=skip", "*", None),
            ("x=affine", "x", affine(4, 64)),
            ("x=mxfp8", "x", Some(Quantization::of(QuantMode::Mxfp8))),
        ] {
            assert_eq!(rule(text).unwrap(), (pattern.to_owned(), settings), "{text}");
        }
        for (text, part) in [
            ("x", "PATTERN=SETTING"),
            ("=4", "PATTERN=SETTING"),
            ("", "PATTERN=SETTING"),
            ("x=", "no setting"),
            ("x=7", "found 7"),
            ("x=4:48", "found 48"),
            ("x=4:", "\"\" is not a number"),
            ("x=4bit", "\"4bit\" is not a number"),
            ("x=four", "\"four\" is no setting"),
            ("x=99999999999", "is not a number"),
        ] {
            let message = rule(text).unwrap_err().to_string();
            assert!(message.starts_with("rule: ") && message.contains(part), "{text}: {message}");
        }
    }
}
