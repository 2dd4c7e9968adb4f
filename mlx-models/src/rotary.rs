// SPDX-License-Identifier: EUPL-1.2
//! What a config says about rotary embeddings.

use mlx_nn::{Rope, RopeConfig, RopeScaling};
use serde::Deserialize;

use crate::config::{ConfigFile, LayerKind};
use crate::error::{Error, Result};
use crate::sizes::{Sizes, name};

/// What a checkpoint says about rotary embeddings, in either generation of keys.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct RopeParameters {
    /// Which scaling.
    pub rope_type: Option<String>,
    /// The same in old files, of which some have both.
    #[serde(rename = "type")]
    pub old_type: Option<String>,
    /// The base of the frequencies.
    pub rope_theta: Option<f32>,
    /// How much longer than in training the text may be.
    pub factor: Option<f32>,
    /// The length in training.
    pub original_max_position_embeddings: Option<i32>,
    /// yarn: rotations above which a dimension keeps its frequency.
    pub beta_fast: Option<f32>,
    /// yarn: rotations below which a dimension is slowed down by the whole factor.
    pub beta_slow: Option<f32>,
    /// yarn: weight of the attention factor's numerator.
    pub mscale: Option<f32>,
    /// yarn: weight of the attention factor's denominator.
    pub mscale_all_dim: Option<f32>,
    /// yarn: whether the range of dimensions is rounded to whole ones.
    pub truncate: Option<bool>,
    /// yarn and longrope: what the embeddings are multiplied by.
    pub attention_factor: Option<f32>,
    /// llama3: wavelengths longer than the training length over this are scaled.
    pub low_freq_factor: Option<f32>,
    /// llama3: wavelengths shorter than the training length over this are kept.
    pub high_freq_factor: Option<f32>,
    /// longrope: a factor for each frequency, up to the training length.
    pub short_factor: Option<Vec<f32>>,
    /// longrope: a factor for each frequency, beyond it.
    pub long_factor: Option<Vec<f32>>,
    /// The share of a head's dimensions that are rotated.
    pub partial_rotary_factor: Option<f32>,
    /// For layers that see all of the text, where layer kinds differ.
    pub full_attention: Option<Box<RopeParameters>>,
    /// For layers with a window, where layer kinds differ.
    pub sliding_attention: Option<Box<RopeParameters>>,
}

/// Where a config has the rotary embeddings of one kind of layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rotary<'c> {
    /// The base in old files, with the name of its key.
    pub(crate) theta: (&'static str, Option<f32>),
    /// `rope_scaling` in old files.
    pub(crate) scaling: Option<&'c RopeParameters>,
    /// `rope_parameters` in new files.
    pub(crate) parameters: Option<&'c RopeParameters>,
    /// The base where neither names one.
    pub(crate) default_theta: f32,
}

impl<'c> Rotary<'c> {
    /// The parameters for layers of `kind`, with the key that they stand under.
    fn find(&self, kind: LayerKind) -> (&'static str, Option<&'c RopeParameters>) {
        let Some(parameters) = self.parameters else { return ("rope_scaling", self.scaling) };
        let own = match kind {
            LayerKind::FullAttention => ("rope_parameters.full_attention", &parameters.full_attention),
            LayerKind::SlidingAttention => {
                ("rope_parameters.sliding_attention", &parameters.sliding_attention)
            }
        };
        match own {
            (key, own) if parameters.is_nested() => (key, own.as_deref()),
            _ => ("rope_parameters", Some(parameters)),
        }
    }

    /// The rotary embeddings of layers of `kind`.
    pub(crate) fn build(
        &self,
        file: &ConfigFile,
        section: Option<&str>,
        kind: LayerKind,
        sizes: &Sizes,
    ) -> Result<Rope> {
        let (key, parameters) = self.find(kind);
        let invalid =
            |what: &str, message: String| file.invalid(&name(section, &format!("{key}.{what}")), message);
        let scaling = match parameters {
            Some(parameters) => {
                parameters.scaling(sizes).map_err(|(what, message)| invalid(what, message))?
            }
            None => RopeScaling::Default,
        };
        let own_theta = parameters.and_then(|parameters| parameters.rope_theta);
        let config = RopeConfig {
            head_dim: sizes.head_dim,
            base: own_theta.or(self.theta.1).unwrap_or(self.default_theta),
            scaling,
            max_position_embeddings: sizes.max_position_embeddings,
            partial_rotary_factor: parameters.and_then(|p| p.partial_rotary_factor).unwrap_or(1.0),
            ..RopeConfig::default()
        };
        Rope::new(config).map_err(|error| match error {
            mlx_nn::Error::Config { key: "base" | "rope_theta", message } if own_theta.is_none() => {
                file.invalid(&name(section, self.theta.0), message)
            }
            mlx_nn::Error::Config { key: "base", message } => invalid("rope_theta", message),
            mlx_nn::Error::Config { key, message } => invalid(key, message),
            other => Error::Nn(other),
        })
    }

    /// The longest text whose frequencies are those of any shorter one; none where length never matters.
    pub(crate) fn limit(&self, sizes: &Sizes) -> Option<usize> {
        let limits = [LayerKind::FullAttention, LayerKind::SlidingAttention].map(|kind| {
            let parameters = self.find(kind).1?;
            match parameters.kind()? {
                "dynamic" => Some(sizes.max_position_embeddings),
                "longrope" => {
                    Some(parameters.original_max_position_embeddings.unwrap_or(sizes.max_position_embeddings))
                }
                _ => None,
            }
        });
        limits.into_iter().flatten().min().map(|limit| usize::try_from(limit).unwrap_or(0))
    }

    /// How many positions there are: with yarn, the training length times the factor where that is more than
    /// `max_position_embeddings`, which many configs leave as it was in training.
    pub(crate) fn context(&self, sizes: &Sizes) -> usize {
        let most = usize::try_from(sizes.max_position_embeddings).unwrap_or(0);
        match self.find(LayerKind::FullAttention).1 {
            Some(RopeParameters {
                factor: Some(factor),
                original_max_position_embeddings: Some(length),
                ..
            }) if self.find(LayerKind::FullAttention).1.is_some_and(|p| p.kind() == Some("yarn")) => {
                // A cast from float saturates.
                most.max((f64::from(*factor) * f64::from(*length)) as usize)
            }
            _ => most,
        }
    }
}

impl RopeParameters {
    /// Whether each kind of layer has its own.
    pub(crate) fn is_nested(&self) -> bool {
        self.full_attention.is_some() || self.sliding_attention.is_some()
    }

    /// Which scaling it is, by either name of the key.
    fn kind(&self) -> Option<&str> {
        self.rope_type.as_deref().or(self.old_type.as_deref())
    }

    /// The scaling, or what is wrong with which key.
    fn scaling(&self, sizes: &Sizes) -> Result<RopeScaling, (&'static str, String)> {
        let factor = || self.factor.ok_or(("factor", "missing".to_owned()));
        // transformers takes the length of the config where the training length is absent.
        let trained = self.original_max_position_embeddings.unwrap_or(sizes.max_position_embeddings);
        Ok(match self.kind() {
            None | Some("default") => RopeScaling::Default,
            Some("linear") => RopeScaling::Linear { factor: factor()? },
            Some("dynamic") => RopeScaling::Dynamic { factor: factor()? },
            Some("llama3") => RopeScaling::Llama3 {
                factor: factor()?,
                low_freq_factor: self.low_freq_factor.ok_or(("low_freq_factor", "missing".to_owned()))?,
                high_freq_factor: self.high_freq_factor.ok_or(("high_freq_factor", "missing".to_owned()))?,
                original_max_position_embeddings: trained,
            },
            Some("yarn") => RopeScaling::Yarn {
                factor: self.factor,
                original_max_position_embeddings: trained,
                attention_factor: self.attention_factor,
                beta_fast: self.beta_fast,
                beta_slow: self.beta_slow,
                mscale: self.mscale,
                mscale_all_dim: self.mscale_all_dim,
                truncate: self.truncate,
            },
            Some("longrope") => RopeScaling::LongRope {
                short_factor: self.short_factor.clone().ok_or(("short_factor", "missing".to_owned()))?,
                long_factor: self.long_factor.clone().ok_or(("long_factor", "missing".to_owned()))?,
                factor: self.factor,
                attention_factor: self.attention_factor,
                original_max_position_embeddings: trained,
            },
            Some(other) => {
                let known = "default, linear, dynamic, llama3, yarn, longrope";
                return Err(("rope_type", format!("expected one of {known}, found {other:?}")));
            }
        })
    }
}
