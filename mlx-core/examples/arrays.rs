// SPDX-License-Identifier: EUPL-1.2
//! A first look at arrays: laziness, broadcasting, slices, a derivative, and an error.
//!
//! `cargo run -p mlx-core --example arrays`
#![expect(clippy::print_stdout, reason = "an example shows what it computes")]

use mlx_core::{Array, Result, transform};

fn main() -> Result<()> {
    let table = Array::from_slice(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3])?;
    // Nothing is computed until a value is read.
    let centred = (&table - &table.mean(-1, true)?)?;
    println!("rows about their means: {:?}", centred.to_vec::<f32>()?);
    println!("the last column: {:?}", table.index((.., -1))?.to_vec::<f32>()?);

    let length = |x: &Array| x.square()?.sum_all()?.sqrt();
    let point = Array::from_slice(&[3.0f32, 4.0], &[2])?;
    let (value, gradient) = transform::value_and_grad(length, &point)?;
    println!("|x| = {}, and grows along {}", value.display()?, gradient.display()?);

    match table.matmul(&table) {
        Err(error) => println!("what cannot be is an error: {error}"),
        Ok(product) => println!("{product:?}"),
    }
    Ok(())
}
