// SPDX-License-Identifier: EUPL-1.2
//! How long a checkpoint takes from the page cache into arrays, against reading the same bytes.
//!
//! `cargo bench -p mlx-core --bench load -- DIR [ROUNDS]`

#![expect(clippy::print_stdout, reason = "a bench reports what it measured")]

use std::io::Read;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(dir) = std::env::args().skip(1).find(|arg| !arg.starts_with("--")) else {
        println!("load: name a checkpoint directory to measure");
        return Ok(());
    };
    let mut buffer = vec![0u8; 1 << 20];
    let rounds = std::env::args().nth(2).and_then(|n| n.parse().ok()).unwrap_or(5);
    for round in 0..rounds {
        let start = Instant::now();
        let mut bytes = 0usize;
        for path in mlx_core::io::shard_paths(&dir)? {
            let mut file = std::fs::File::open(path)?;
            loop {
                let n = file.read(&mut buffer)?;
                if n == 0 {
                    break;
                }
                bytes += n;
            }
        }
        let reading = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let tensors = mlx_core::io::load_sharded(&dir, |_, _| ())?;
        let loading = start.elapsed().as_secs_f64();
        println!(
            "round {round}: {bytes} bytes, {} tensors: read {reading:.3} s, load {loading:.3} s, {:.2} GB/s",
            tensors.tensors.len(),
            bytes as f64 / loading / 1e9
        );
    }
    Ok(())
}
