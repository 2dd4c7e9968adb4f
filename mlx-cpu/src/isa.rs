// SPDX-License-Identifier: EUPL-1.2
//! What this processor has.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use crate::{Error, Result};

/// A set of instructions that kernels are compiled for, the plainest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Isa {
    /// What every processor of the architecture has.
    Portable,
    /// x86-64: AVX2, FMA and F16C.
    Avx2,
    /// x86-64: AVX-512 F, BW, VL and DQ.
    Avx512,
    /// x86-64: the same with BF16, VNNI and VBMI: dot products of bfloat16 and of bytes.
    Avx512Bf16,
    /// aarch64: NEON.
    Neon,
    /// aarch64: NEON with dot products of bfloat16 and of bytes.
    NeonDot,
}

impl Isa {
    /// Every set, whatever the machine.
    pub const ALL: [Self; 6] =
        [Self::Portable, Self::Avx2, Self::Avx512, Self::Avx512Bf16, Self::Neon, Self::NeonDot];

    /// The name that `MLX_CPU_ISA` takes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512Bf16 => "avx512bf16",
            Self::Neon => "neon",
            Self::NeonDot => "neondot",
        }
    }

    /// Whether this machine has it.
    #[must_use]
    pub fn is_available(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            let avx2 = || has!("avx2") && has!("fma") && has!("f16c");
            let avx512 =
                || avx2() && has!("avx512f") && has!("avx512bw") && has!("avx512vl") && has!("avx512dq");
            match self {
                Self::Portable => true,
                Self::Avx2 => avx2(),
                Self::Avx512 => avx512(),
                Self::Avx512Bf16 => {
                    avx512() && has!("avx512bf16") && has!("avx512vnni") && has!("avx512vbmi")
                }
                Self::Neon | Self::NeonDot => false,
            }
        }
        #[cfg(target_arch = "aarch64")]
        {
            use std::arch::is_aarch64_feature_detected as has;
            match self {
                Self::Portable => true,
                Self::Neon => has!("neon"),
                Self::NeonDot => has!("neon") && has!("bf16") && has!("dotprod"),
                Self::Avx2 | Self::Avx512 | Self::Avx512Bf16 => false,
            }
        }
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        {
            self == Self::Portable
        }
    }

    /// Whether it multiplies bfloat16 and sums the products in float32.
    #[must_use]
    pub const fn has_bf16_dots(self) -> bool {
        matches!(self, Self::Avx512Bf16 | Self::NeonDot)
    }

    /// The sets that this machine has, the plainest first.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|isa| isa.is_available())
    }

    /// The set that kernels use unless told otherwise: `MLX_CPU_ISA`, else the best that the machine has.
    ///
    /// A name in `MLX_CPU_ISA` that is unknown, or that the machine lacks, counts as absent; [`check`] tells.
    #[must_use]
    pub fn current() -> Self {
        static CURRENT: OnceLock<Isa> = OnceLock::new();
        *CURRENT.get_or_init(|| {
            let best = Self::available().last().unwrap_or(Self::Portable);
            Self::asked_for().ok().flatten().unwrap_or(best)
        })
    }

    /// What `MLX_CPU_ISA` names.
    fn asked_for() -> Result<Option<Self>> {
        const VARIABLE: &str = "MLX_CPU_ISA";
        let Some(value) = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        let value = value.to_string_lossy();
        let isa: Self = value.parse()?;
        if isa.is_available() {
            return Ok(Some(isa));
        }
        let have = Self::available().map(Self::name).collect::<Vec<_>>().join(", ");
        Err(Error::variable(VARIABLE, format!("this processor has {have} and not {value}")))
    }
}

/// Whether the variables that steer this crate can be obeyed.
///
/// # Errors
/// [`Error::Variable`] with the one that cannot.
pub fn check() -> Result<()> {
    Isa::asked_for()?;
    crate::pool::asked_for()?;
    Ok(())
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Isa {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|isa| isa.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::variable("MLX_CPU_ISA", format!("expected one of {known}, found {name:?}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_machine_has_something_and_names_round_trip() {
        assert!(Isa::available().any(|isa| isa == Isa::current()));
        for isa in Isa::ALL {
            assert_eq!(isa.name().parse::<Isa>().unwrap(), isa);
        }
        let message = "sse9".parse::<Isa>().unwrap_err().to_string();
        assert!(message.contains("avx512bf16") && message.contains("sse9"), "{message}");
    }
}
