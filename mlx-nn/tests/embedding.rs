// SPDX-License-Identifier: EUPL-1.2

use mlx_core::{Array, Dtype, QuantMode, Quantization, dequantize};
use mlx_nn::{Embedding, params};

use crate::common::{FLOATS, assert_close, pseudo, tolerance, values, weights};

fn loaded(table: &Array) -> Embedding {
    let mut embedding = Embedding::new(table.dim(0).unwrap(), table.dim(1).unwrap()).unwrap();
    params::load(&mut embedding, weights([("weight", table.clone())])).unwrap();
    embedding
}

#[test]
fn rows_are_looked_up_in_the_dtype_of_the_table() {
    for dtype in FLOATS {
        let table = pseudo(1, &[6, 4]).astype(dtype).unwrap();
        let rows = values(&table);
        for ids in [Array::from_slice(&[5u32, 0, 5], &[1, 3]), Array::from_slice(&[5i32, 0, 5], &[1, 3])] {
            let found = loaded(&table).forward(&ids.unwrap()).unwrap();
            assert_eq!((found.shape(), found.dtype()), (&[1, 3, 4][..], dtype));
            assert_eq!(values(&found), [&rows[20..], &rows[..4], &rows[20..]].concat());
        }
    }
}

#[test]
fn packed_rows_are_the_rows_of_the_unpacked_table() {
    let ids = Array::from_slice(&[7u32, 0, 3, 3], &[2, 2]).unwrap();
    for (settings, default) in [
        (Quantization { group_size: 64, bits: 4, mode: QuantMode::Affine }, None),
        (Quantization { group_size: 32, bits: 8, mode: QuantMode::Affine }, None),
        (Quantization { group_size: 32, bits: 4, mode: QuantMode::Mxfp4 }, Some(Dtype::Bfloat16)),
        (Quantization { group_size: 16, bits: 4, mode: QuantMode::Nvfp4 }, Some(Dtype::Bfloat16)),
        (Quantization { group_size: 32, bits: 8, mode: QuantMode::Mxfp8 }, Some(Dtype::Bfloat16)),
    ] {
        for dtype in FLOATS {
            let table = pseudo(2, &[8, 64]).astype(dtype).unwrap();
            let mut embedding = loaded(&table);
            params::quantize(&mut embedding, |_| Some(settings)).unwrap();
            assert_eq!(
                (embedding.quantization(), embedding.vocab(), embedding.dim()),
                (Some(settings), 8, 64)
            );
            let found = embedding.forward(&ids).unwrap();
            let dtype = default.unwrap_or(dtype);
            assert_eq!((found.shape(), found.dtype()), (&[2, 2, 64][..], dtype), "{settings:?}");

            let packed = table.quantize(settings).unwrap();
            let unpacked =
                dequantize(&packed.weight, &packed.scales, packed.biases.as_ref(), settings, Some(dtype))
                    .unwrap();
            assert_eq!(values(&found), values(&unpacked.take(&ids, 0).unwrap()), "{settings:?}");
        }
    }
}

#[test]
fn the_output_projection_is_the_table() {
    let settings = Quantization { group_size: 64, bits: 8, mode: QuantMode::Affine };
    for dtype in FLOATS {
        let table = pseudo(3, &[8, 64]).astype(dtype).unwrap();
        let x = pseudo(4, &[1, 2, 64]).astype(dtype).unwrap();
        let expected = x.matmul(&table.transpose().unwrap()).unwrap();
        let mut embedding = loaded(&table);
        let found = embedding.as_linear(&x).unwrap();
        assert_eq!((found.shape(), found.dtype()), (&[1, 2, 8][..], dtype));
        assert_close("dense", &values(&found), &values(&expected), tolerance(dtype));
        params::quantize(&mut embedding, |_| Some(settings)).unwrap();
        let found = embedding.as_linear(&x).unwrap();
        assert_eq!((found.shape(), found.dtype()), (&[1, 2, 8][..], dtype));
        assert_close("quantised", &values(&found), &values(&expected), (0.0, 0.1));
    }
}

#[test]
fn wrong_inputs_are_errors() {
    let embedding = loaded(&pseudo(5, &[4, 8]));
    let x = Array::ones(&[2, 4], Dtype::Float32).unwrap();
    let message = "embedding: expected [.., 8], found shape [2, 4]";
    assert_eq!(embedding.as_linear(&x).unwrap_err().to_string(), message);
    assert!(embedding.forward(&x).is_err(), "ids that are not integers");
    assert!(embedding.forward(&Array::from_slice(&[4u32], &[1]).unwrap()).is_err(), "an id beyond the table");
    assert_eq!(Embedding::new(0, 8).unwrap_err().to_string(), "vocab: expected at least 1, found 0");
    assert_eq!(Embedding::new(8, -8).unwrap_err().to_string(), "dim: expected at least 1, found -8");
}

#[test]
fn single_and_no_ids_are_looked_up() {
    let embedding = loaded(&pseudo(6, &[4, 8]));
    assert_eq!(embedding.forward(&Array::scalar(3u32).unwrap()).unwrap().shape(), [8]);
    let none = Array::zeros(&[1, 0], Dtype::Uint32).unwrap();
    assert_eq!(embedding.forward(&none).unwrap().shape(), [1, 0, 8]);
}
