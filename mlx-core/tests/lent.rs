// SPDX-License-Identifier: EUPL-1.2
//! Memory that is lent: to arrays, and by arrays. It is freed once, and nothing writes to it meanwhile.

use std::collections::BTreeMap;

use mlx_core::fast::KvBuffer;
use mlx_core::io::{SafetensorsFile, save_safetensors};
use mlx_core::{Array, Complex64, Dtype, Error, Result, eval, memory, transform};

/// More than what is copied rather than kept.
const MANY: usize = 10_000;

fn numbers() -> Vec<f32> {
    (0..MANY).map(|i| i as f32).collect()
}

#[test]
fn a_vector_becomes_an_array_where_it_lies() -> Result<()> {
    let data = numbers();
    let place = data.as_ptr();
    let a = Array::from_vec(data, &[100, 100])?;
    assert_eq!((a.shape(), a.dtype()), (&[100, 100][..], Dtype::Float32));
    // Where arrays are in plain memory; elsewhere it was copied.
    if mlx_core::has_cpu_kernels() {
        assert_eq!(a.as_slice::<f32>()?.as_ptr(), place);
    }
    assert_eq!(a.to_vec::<f32>()?, numbers());
    assert_eq!(a.index((1, 2))?.item::<f32>()?, 102.0);
    let column = a.transpose()?.index(3)?;
    assert_eq!(column.to_vec::<f32>()?[..3], [3.0, 103.0, 203.0]);
    assert_eq!(a.sum_all()?.item::<f32>()?, numbers().iter().sum::<f32>());
    let bytes = a.view(Dtype::Uint8)?;
    assert_eq!(bytes.shape(), [100, 400]);
    assert_eq!(bytes.to_vec::<u8>()?, bytemuck_bytes(&numbers()));
    Ok(())
}

fn bytemuck_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_ne_bytes()).collect()
}

#[test]
fn vectors_of_every_size_and_type_are_taken() -> Result<()> {
    for len in [0usize, 1, 2, 7, 511, 512, 1023, 1024, 4095, 4096, 5000] {
        let shape = [i32::try_from(len).unwrap()];
        let bytes: Vec<u8> = (0..len).map(|i| i as u8).collect();
        assert_eq!(Array::from_vec(bytes.clone(), &shape)?.to_vec::<u8>()?, bytes);
        let wide: Vec<f64> = (0..len).map(|i| i as f64).collect();
        assert_eq!(Array::from_vec(wide.clone(), &shape)?.to_vec::<f64>()?, wide);
        let truths: Vec<bool> = (0..len).map(|i| i % 3 == 0).collect();
        assert_eq!(Array::from_vec(truths.clone(), &shape)?.as_slice::<bool>()?, truths);
        let complex: Vec<Complex64> = (0..len).map(|i| Complex64::from((i as f32, 1.0))).collect();
        assert_eq!(Array::from_vec(complex.clone(), &shape)?.to_vec::<Complex64>()?, complex);
    }
    let spare = {
        let mut data = Vec::with_capacity(9000);
        data.extend(numbers());
        data
    };
    assert_eq!(Array::from_vec(spare, &[10_000])?.to_vec::<f32>()?, numbers());
    for shape in [&[3][..], &[-1], &[0], &[i32::MAX, i32::MAX]] {
        assert!(Array::from_vec(vec![1.0f32; 4], shape).is_err(), "{shape:?}");
    }
    let error = Array::from_vec(vec![1.0f32; 5000], &[4999]).unwrap_err();
    assert!(matches!(error, Error::BufferLength { expected: 4999, found: 5000, .. }), "{error}");
    Ok(())
}

#[test]
fn ops_may_take_over_the_memory_of_a_vector() -> Result<()> {
    // The word in front of the data decides whether an op keeps the memory: zero, small and huge ones.
    for first in [0u64, 1, 40_000, u64::MAX] {
        let words: Vec<u64> = std::iter::once(first).chain(1..MANY as u64).collect();
        let mut a = Array::from_vec(words.clone(), &[10_000])?;
        for _ in 0..5 {
            a = (&a + &Array::scalar(3u64)?)?;
        }
        let expected: Vec<u64> = words.iter().map(|x| x.wrapping_add(15)).collect();
        assert_eq!(a.to_vec::<u64>()?, expected);
        let shuffled = Array::from_vec(words.clone(), &[100, 100])?.transpose()?.square()?.transpose()?;
        let squares: Vec<u64> = words.iter().map(|x| x.wrapping_mul(*x)).collect();
        assert_eq!(shuffled.to_vec::<u64>()?, squares);
    }
    Ok(())
}

#[test]
fn memory_of_vectors_is_given_back() -> Result<()> {
    const BYTES: usize = 64 << 20;
    let before = memory::active_memory()?;
    let a = Array::from_vec(vec![1u8; BYTES], &[64 << 20])?;
    if mlx_core::has_cpu_kernels() {
        assert!(memory::active_memory()? >= BYTES);
    }
    let view = a.slice_axis(0, 100, 200)?;
    view.eval()?;
    drop(a);
    assert_eq!(view.as_slice::<u8>()?, [1; 100]);
    let shared = view.to_shared()?;
    drop(view);
    // The last one dies on another thread.
    std::thread::spawn(move || assert_eq!(shared.to_array().unwrap().as_slice::<u8>().unwrap(), [1; 100]))
        .join()
        .unwrap();
    for _ in 0..50 {
        let a = Array::from_vec(vec![1u8; BYTES], &[64 << 20])?;
        drop(a);
    }
    // Other tests run beside this one, but hold nothing as large.
    assert!(memory::active_memory()? < before + BYTES);
    Ok(())
}

#[test]
fn slices_are_refused_where_they_would_not_be_the_values() -> Result<()> {
    let a = Array::from_slice(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3])?;
    assert_eq!(a.as_slice::<f32>()?, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(a.index(1)?.as_slice::<f32>()?, [4.0, 5.0, 6.0]);
    assert_eq!((&a + &a)?.as_slice::<f32>()?[5], 12.0);
    assert!(matches!(a.as_slice::<i32>().unwrap_err(), Error::Dtype { .. }));
    for strided in [a.transpose()?, a.slice_axis(1, 0, 2)?, a.index(0)?.broadcast_to(&[2, 3])?] {
        let error = strided.as_slice::<f32>().unwrap_err();
        assert!(matches!(error, Error::Argument { op: "as_slice", .. }), "{error}");
        assert_eq!(strided.contiguous()?.as_slice::<f32>()?, strided.to_vec::<f32>()?);
    }
    assert!(Array::from_slice::<f32>(&[], &[3, 0])?.as_slice::<f32>()?.is_empty());
    assert_eq!(Array::scalar(7u16)?.as_slice::<u16>()?, [7]);
    let strange = Array::from_bytes(&[0, 1, 2], &[3], Dtype::Bool)?;
    assert!(strange.as_slice::<bool>().is_err());
    // A view that begins between two elements of the wider type.
    let bytes = Array::from_slice(&[0u8; 9], &[9])?.slice_axis(0, 1, 9)?;
    let wide = bytes.view(Dtype::Uint32)?;
    assert_eq!(wide.to_vec::<u32>()?, [0, 0]);
    assert!(wide.as_slice::<u32>().map_or(true, |values| values == [0, 0]));
    assert_eq!(wide.index(1)?.item::<u32>()?, 0);
    Ok(())
}

#[test]
fn one_value_is_read_whatever_its_place() -> Result<()> {
    let a = Array::from_slice(&[1i16, 2, 3, 4, 5, 6], &[2, 3])?.transpose()?;
    assert_eq!(a.index((2, 1))?.item::<i16>()?, 6);
    assert_eq!(a.index((1, 0))?.reshape(&[1, 1, 1])?.item::<i16>()?, 2);
    assert!(a.item::<i16>().is_err() && a.index((0, 0))?.item::<u16>().is_err());
    assert!(Array::from_slice::<f32>(&[], &[0])?.item::<f32>().is_err());
    assert!(Array::from_bytes(&[7], &[], Dtype::Bool)?.item::<bool>()?);
    Ok(())
}

/// Everything that might write to, or free, what a slice shows.
#[test]
fn a_borrowed_slice_never_changes() -> Result<()> {
    let expected = numbers();
    let a = Array::from_vec(numbers(), &[100, 100])?;
    let values = a.as_slice::<f32>()?;
    // Ops that would put their result into an operand that nobody needs any more.
    for _ in 0..3 {
        let mut chain = a.clone();
        for _ in 0..4 {
            chain = (&chain * 2.0)?.exp()?.negative()?;
        }
        chain.eval()?;
        let view = a.reshape(&[10_000])?;
        let doubled = (&view + &view)?;
        drop(view);
        doubled.eval()?;
        let mut updated = a.clone();
        for row in 0..10 {
            updated =
                updated.slice_update_axis(&Array::zeros(&[1, 100], Dtype::Float32)?, 0, row, row + 1)?;
        }
        updated.eval()?;
        a.sort(-1)?.eval()?;
    }
    // Transformations, which evaluate what they trace.
    let captured = a.clone();
    let traced = move |x: &[Array]| {
        eval([&captured])?;
        Ok(vec![(&captured * &x[0])?.sum_all()?])
    };
    let (_, gradients) = transform::value_and_grad_by(traced, &[0], std::slice::from_ref(&a))?;
    eval(&gradients)?;
    // The array is evaluated again, shared, sent away and dropped elsewhere.
    a.eval()?;
    let shared = a.to_shared()?;
    std::thread::spawn(move || {
        let mine = shared.to_array().unwrap();
        drop(shared);
        let product = (&mine * 3.0).unwrap();
        drop(mine);
        product.eval().unwrap();
    })
    .join()
    .unwrap();
    memory::clear_cache()?;
    let reused: Vec<Array> =
        (0..20).map(|_| Array::full(&[MANY as i32], -1.0, Dtype::Float32)).collect::<Result<_>>()?;
    eval(&reused)?;
    assert_eq!(values, expected);
    assert_eq!(values.as_ptr(), a.as_slice::<f32>()?.as_ptr());
    Ok(())
}

#[test]
fn buffers_that_grow_in_place_write_to_nobodys_slice() -> Result<()> {
    let ones = |tokens: i32| Array::ones(&[1, 1, tokens, 4], Dtype::Float32);
    let memory = Array::zeros(&[1, 1, 64, 4], Dtype::Float32)?;
    memory.eval()?;
    // What was given away is still the giver's.
    let mut buffer = KvBuffer::new(memory.clone(), memory.clone(), 8)?;
    let before = memory.as_slice::<f32>()?;
    let mut seen = Vec::new();
    for step in 0..20 {
        let (keys, values) = buffer.append(&ones(1)?, &ones(1)?, 8 + step, 0)?;
        eval([&keys, &values])?;
        seen.push((keys, buffer.keys()?));
    }
    assert!(before.iter().all(|&x| x == 0.0));
    // What was handed out shows no token that came later.
    let slices: Vec<&[f32]> =
        seen.iter().map(|(k, all)| k.as_slice::<f32>().and(all.as_slice())).collect::<Result<_>>()?;
    let sums: Vec<f32> = slices.iter().map(|slice| slice.iter().sum()).collect();
    let mut other = buffer.clone();
    for step in 0..20 {
        let (keys, _) = buffer.append(&ones(1)?, &ones(1)?, 28 + step, 0)?;
        let (theirs, _) = other.append(&ones(1)?, &ones(1)?, 28 + step, 0)?;
        eval([&keys, &theirs])?;
    }
    let (rewound, _) = other.append(&ones(3)?, &ones(3)?, 2, 0)?;
    rewound.eval()?;
    assert_eq!(slices.iter().map(|slice| slice.iter().sum::<f32>()).collect::<Vec<_>>(), sums);
    assert_eq!(sums, (1..=20u8).map(|n| 4.0 * f32::from(n)).collect::<Vec<_>>());
    assert_eq!((buffer.len(), other.len(), buffer.capacity()), (48, 5, 64));
    // A gap would show memory that nobody wrote.
    assert!(other.append(&ones(1)?, &ones(1)?, 20, 0).is_err());
    let fresh = KvBuffer::with_capacity([1, 1], 16, [4, 4], [Dtype::Float32; 2])?;
    assert!(fresh.is_empty() && fresh.keys()?.size() == 0 && fresh.nbytes() == 2 * 16 * 4 * 4);
    Ok(())
}

#[test]
fn tensors_of_one_file_do_not_share_what_ops_may_overwrite() -> Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.safetensors");
    // The zeros in front of "b" make its buffer look small enough to be kept for a result.
    let (a, b) = (Array::zeros(&[MANY as i32], Dtype::Float32)?, Array::from_vec(numbers(), &[MANY as i32])?);
    save_safetensors(&path, [("a", &a), ("b", &b)], &BTreeMap::new())?;
    let file = SafetensorsFile::open(&path)?;
    let first = file.tensor("b")?;
    let second = file.tensor("b")?;
    let values = first.as_slice::<f32>()?;
    // Nobody needs the second any more when this is computed, so the result may take its place.
    let result = second.negative()?;
    drop(second);
    result.eval()?;
    assert_eq!(values, numbers());
    let result = first.negative()?;
    drop(first);
    result.eval()?;
    assert_eq!(file.tensor("b")?.to_vec::<f32>()?, numbers());
    Ok(())
}
