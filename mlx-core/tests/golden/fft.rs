// SPDX-License-Identifier: EUPL-1.2
//! Fourier transforms.

use mlx_core::{Array, Result, fft};

use super::Params;

pub(super) fn run(op: &str, x: &[Array], p: &Params) -> Result<Vec<Array>> {
    let norm = match p.has("norm").then(|| p.text("norm")) {
        None | Some("backward") => fft::Norm::Backward,
        Some("ortho") => fft::Norm::Ortho,
        Some("forward") => fft::Norm::Forward,
        Some(other) => panic!("no norm {other}"),
    };
    let one = fft::Options {
        n: p.has("n").then(|| p.int("n")),
        axis: if p.has("axis") { p.int("axis") } else { -1 },
        norm,
    };
    let sizes = p.has("s").then(|| p.ints("s"));
    let axes = p.has("axes").then(|| p.ints("axes"));
    let several = fft::NdOptions { sizes: sizes.as_deref(), axes: axes.as_deref(), norm };
    let out = match op {
        "fft" => fft::fft(&x[0], &one),
        "ifft" => fft::ifft(&x[0], &one),
        "rfft" => fft::rfft(&x[0], &one),
        "irfft" => fft::irfft(&x[0], &one),
        "fft2" => fft::fft2(&x[0], &several),
        "ifft2" => fft::ifft2(&x[0], &several),
        "rfft2" => fft::rfft2(&x[0], &several),
        "irfft2" => fft::irfft2(&x[0], &several),
        "fftn" => fft::fftn(&x[0], &several),
        "ifftn" => fft::ifftn(&x[0], &several),
        "rfftn" => fft::rfftn(&x[0], &several),
        "irfftn" => fft::irfftn(&x[0], &several),
        "fftfreq" => fft::fftfreq(p.int("n"), p.float("d")),
        "rfftfreq" => fft::rfftfreq(p.int("n"), p.float("d")),
        "fftshift" => fft::fftshift(&x[0], axes.as_deref()),
        "ifftshift" => fft::ifftshift(&x[0], axes.as_deref()),
        other => panic!("no op {other}"),
    }?;
    Ok(vec![out])
}
