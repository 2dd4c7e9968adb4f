// SPDX-License-Identifier: EUPL-1.2
//! To and from the types of other crates.

use mlx_core::{Array, Complex64, Dtype, Element, Error, Result, bf16, f16};
use ndarray::{Array1, Array2, Array3, ArrayD, ArrayViewD, IxDyn, ShapeBuilder, arr0, s};
use num_complex::Complex;

fn cube() -> Array3<f32> {
    Array3::from_shape_fn((2, 3, 4), |(i, j, k)| (100 * i + 10 * j + k) as f32)
}

fn back<T: Element>(a: &Array) -> ArrayD<T> {
    ArrayD::try_from(a).unwrap()
}

#[test]
fn arrays_of_any_layout_keep_their_elements() -> Result<()> {
    let base = cube();
    let mut reversed = base.clone();
    reversed.invert_axis(ndarray::Axis(2));
    let column_major = Array3::from_shape_fn((2, 3, 4).f(), |(i, j, k)| (i + j + k) as f32);
    let mut sliced = base.clone();
    sliced.slice_collapse(s![1.., .., 1..3]);
    let mut tail = base.clone();
    tail.slice_collapse(s![1.., .., ..]);
    let permuted = base.clone().permuted_axes([1, 0, 2]);
    for owned in [base, reversed, column_major, sliced, tail, permuted] {
        let shape: Vec<i32> = owned.shape().iter().map(|&n| n as i32).collect();
        let copied = Array::try_from(&owned)?;
        assert_eq!((copied.shape(), copied.dtype()), (&shape[..], Dtype::Float32));
        assert_eq!(back::<f32>(&copied), owned.clone().into_dyn());
        let view = owned.view();
        assert_eq!(back::<f32>(&Array::try_from(&view)?), owned.clone().into_dyn());
        assert_eq!(back::<f32>(&Array::try_from(owned.clone())?), owned.into_dyn());
    }
    Ok(())
}

#[test]
fn large_owned_arrays_are_taken_over_and_lent() -> Result<()> {
    let table = Array2::from_shape_fn((100, 200), |(i, j)| (i * 200 + j) as i32);
    let place = table.as_ptr();
    let a = Array::try_from(table.clone().into_shared().into_owned())?;
    assert_eq!(back::<i32>(&a), table.clone().into_dyn());
    let a = Array::try_from(table)?;
    let view = ArrayViewD::<i32>::try_from(&a)?;
    if mlx_core::has_cpu_kernels() {
        assert_eq!(view.as_ptr(), place);
    }
    assert_eq!(view[[3, 4]], 604);
    let flipped = Array2::from_shape_fn((100, 200).f(), |(i, j)| (i * 200 + j) as i32);
    assert_eq!(back::<i32>(&Array::try_from(flipped.clone())?), flipped.into_dyn());
    Ok(())
}

#[test]
fn scalars_empty_arrays_and_every_dtype_go_both_ways() -> Result<()> {
    fn check<T: Element>(values: [T; 2]) {
        let row = Array1::from(values.to_vec());
        let a = Array::try_from(row.clone()).unwrap();
        assert_eq!(a.dtype(), T::DTYPE);
        assert_eq!(back::<T>(&a), row.into_dyn());
    }
    check([true, false]);
    check([1u8, 2]);
    check([1i64, i64::MIN]);
    check([f16::ONE, f16::NEG_ONE]);
    check([bf16::ONE, bf16::NEG_ONE]);
    check([1.5f64, f64::MIN]);
    check([Complex64 { re: 1.0, im: 2.0 }, Complex64::default()]);
    check([Complex::new(1.0f32, 2.0), Complex::new(0.0, -1.0)]);
    assert_eq!(Array::try_from(arr0(5u32))?.item::<u32>()?, 5);
    assert_eq!(back::<u32>(&Array::scalar(5u32)?), arr0(5).into_dyn());
    let empty = Array::try_from(Array2::<f32>::zeros((3, 0)))?;
    assert_eq!(empty.shape(), [3, 0]);
    assert_eq!(back::<f32>(&empty).shape(), [3, 0]);
    assert_eq!(ArrayViewD::<f32>::try_from(&empty)?.shape(), [3, 0]);
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused() -> Result<()> {
    let a = Array::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2])?;
    assert!(matches!(ArrayD::<i32>::try_from(&a).unwrap_err(), Error::Dtype { .. }));
    assert!(ArrayViewD::<f32>::try_from(&a.transpose()?).is_err());
    assert_eq!(back::<f32>(&a.transpose()?)[[0, 1]], 3.0);
    let long = ndarray::ArrayView::<u8, _>::from_shape(IxDyn(&[0, 1 << 40]), &[]).unwrap();
    assert!(matches!(Array::try_from(&long).unwrap_err(), Error::Shape { .. }));
    Ok(())
}

#[test]
fn complex_numbers_are_those_of_other_crates() -> Result<()> {
    let a = Array::from_slice(&[Complex::new(3.0f32, 4.0), Complex::new(0.0, -1.0)], &[2])?;
    assert_eq!(a.dtype(), Dtype::Complex64);
    assert_eq!(a.abs()?.to_vec::<f32>()?, [5.0, 1.0]);
    assert_eq!(a.as_slice::<Complex<f32>>()?[1].im, -1.0);
    assert_eq!(a.to_vec::<Complex64>()?[0], Complex64 { re: 3.0, im: 4.0 });
    let z = Complex64::from((1.0, 2.0));
    assert_eq!((<(f32, f32)>::from(z), <[f32; 2]>::from(z)), ((1.0, 2.0), [1.0, 2.0]));
    assert_eq!(Complex::from(Complex64::from([1.0, 2.0])), Complex::new(1.0, 2.0));
    assert_eq!(Complex64::from(Complex::new(1.0f32, 2.0)), z);
    assert_eq!(Complex64::from(2.0), Complex64 { re: 2.0, im: 0.0 });
    Ok(())
}
