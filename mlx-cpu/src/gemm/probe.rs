#[cfg(test)]
mod probe {
    use super::super::tile::{bf16 as t, Block, Tile};
    use half::bf16;
    use std::time::Instant;
    #[test]
    #[ignore]
    fn speed() {
        for (m, n, k) in [(128, 4096, 1024), (512, 6144, 1024), (512, 1024, 3072), (512, 1152, 6912), (1, 4096, 1024), (1, 1024, 3072), (1,151936,1024),(4,4096,1024)] {
            let copies = (200_000_000 / (n * k * 2)).clamp(1, 40);
            let x: Vec<bf16> = (0..m * k).map(|i| bf16::from_f32((i % 7) as f32 * 0.1)).collect();
            let ws: Vec<Vec<bf16>> = (0..copies).map(|c| (0..n * k).map(|i| bf16::from_f32(((i + c) % 5) as f32 * 0.1)).collect()).collect();
            for threads in [1, 2] {
            for nb in [32, 64, 128] {
                let mut best = f64::MAX;
                let reps = if m == 1 { 5 } else { 3 };
                let blocks = n / nb;
                let outs: Vec<std::sync::Mutex<Vec<f32>>> = (0..blocks.max(1)).map(|_| std::sync::Mutex::new(vec![0f32; 6 * nb])).collect();
                for _ in 0..reps {
                    let t0 = Instant::now();
                    for w in &ws {
                        let body = |b: usize| {
                            let mut buf = outs[b].lock().unwrap();
                            let mut r = 0;
                            while r < m {
                                let rows = 6.min(m - r);
                                let mut k0 = 0;
                                while k0 < k {
                                    let kb = (k - k0).min(if k > 4096 { k / 3 } else { 4096 });
                                unsafe {
                                    t::block(Block { count: nb, tile: Tile { x: x.as_ptr().add(r * k+k0), x_stride: k, w: w.as_ptr().add(b * nb * k+k0), w_stride: k, k: kb, rows, cols: 0, out: buf.as_mut_ptr(), out_stride: nb, accumulate: k0 > 0 } });
                                }
                                k0 += kb;
                                }
                                r += rows;
                            }
                        };
                        if threads == 2 { crate::pool::run(blocks, &body) } else { (0..blocks).for_each(body) }
                    }
                    best = best.min(t0.elapsed().as_secs_f64() / copies as f64);
                }
                println!("m{m} n{n} k{k} threads {threads} nb {nb}: {:.1} us  {:.1} GFLOP/s {:.1} GB/s", best * 1e6, 2.0 * (m * n * k) as f64 / best / 1e9, (n * k * 2) as f64 / best / 1e9);
            }}
        }
    }
}
#[cfg(test)]
mod bw {
    use std::arch::x86_64::*;
    use std::time::Instant;
    #[target_feature(enable = "avx512f")]
    unsafe fn sum(p: *const u8, n: usize) -> i32 {
        unsafe {
            let mut a = [_mm512_setzero_si512(); 8];
            let mut i = 0;
            while i < n {
                for j in 0..8 { a[j] = _mm512_xor_si512(a[j], _mm512_loadu_si512(p.add(i + j * 64).cast())); }
                i += 512;
            }
            for j in 1..8 { a[0] = _mm512_xor_si512(a[0], a[j]); }
            _mm512_reduce_add_epi32(a[0])
        }
    }
    #[test]
    #[ignore]
    fn bandwidth() {
        let n = 1usize << 30;
        let v: Vec<u8> = vec![1; n + (4<<20)];
        let huge: Vec<u8> = {
            unsafe extern "C" { fn madvise(p: *mut u8, n: usize, a: i32) -> i32; }
            let mut h = Vec::<u8>::with_capacity(n + (4<<20));
            unsafe { madvise(((h.as_mut_ptr() as usize + 4095) & !4095) as *mut u8, n, 14); }
            let t = Instant::now();
            h.resize(n + (4<<20), 1);
            println!("fill huge {:?}", t.elapsed());
            h
        };
        for (name, v) in [("4k", &v), ("huge", &huge)] {
        for threads in [1, 2] {
            for chunk in [1 << 16, 1 << 18, 1 << 20, 1<<23] {
            let mut best = f64::MAX;
            for _ in 0..5 {
                let t = Instant::now();
                let body = |i: usize| { std::hint::black_box(unsafe { sum(v.as_ptr().add(i * chunk), chunk) }); };
                if threads == 2 { crate::pool::run(n / chunk, &body) } else { (0..n / chunk).for_each(body) }
                best = best.min(t.elapsed().as_secs_f64());
            }
            println!("m0 n {name} threads {threads} chunk {chunk}: {:.1} GB/s", n as f64 / best / 1e9);
            }
        }}
    }
}
