// SPDX-License-Identifier: EUPL-1.2
//! Caches against the plainest reference there is: a list of all tokens, cut to what a window reaches.

use mlx_core::{Array, Dtype};
use mlx_models::cache::{CacheMask, KvCache};

/// Keys `[2, 2, L, 3]` for positions `start..start + length`, whose values say where they belong.
fn keys(start: i32, length: i32) -> Array {
    let (batch, heads, size) = (2, 2, 3);
    let mut values = Vec::new();
    for b in 0..batch {
        for h in 0..heads {
            for position in start..start + length {
                values.extend((0..size).map(|e| (position * 1000 + b * 100 + h * 10 + e) as f32));
            }
        }
    }
    Array::from_slice(&values, &[batch, heads, length, size]).unwrap()
}

fn same(found: &Array, expected: &Array) -> bool {
    found.shape() == expected.shape() && found.to_vec::<f32>().unwrap() == expected.to_vec::<f32>().unwrap()
}

/// Appends `length` tokens and checks what comes back: the tokens from `window - 1` before the new ones on.
fn append_and_check(cache: &mut KvCache, window: Option<i32>, length: i32) {
    let offset = cache.offset();
    let (k, v) = (keys(offset, length), keys(offset + 5000, length));
    let (seen_k, seen_v) = cache.append(&k, &v).unwrap();
    let first = window.map_or(0, |window| (offset - (window - 1)).max(0));
    let count = offset + length - first;
    assert!(same(&seen_k, &keys(first, count)), "window {window:?}, {length} tokens at {offset}");
    assert!(same(&seen_v, &keys(first + 5000, count)), "window {window:?}, {length} tokens at {offset}");
    assert_eq!(cache.offset(), offset + length);
}

#[test]
fn a_full_cache_returns_every_token_in_any_chunking() {
    for chunk in [1, 7, 255, 256, 257, 600] {
        let mut cache = KvCache::full();
        while cache.offset() < 700 {
            append_and_check(&mut cache, None, chunk);
        }
    }
}

#[test]
fn a_rotating_cache_returns_what_the_window_reaches_in_any_chunking() {
    for window in [1, 2, 5, 16, 300] {
        for chunk in [1, 3, 16, 40, 600] {
            let mut cache = KvCache::rotating(window).unwrap();
            while cache.offset() < 1300 {
                append_and_check(&mut cache, Some(window), chunk);
            }
            // A chunk of another size after many of one size.
            append_and_check(&mut cache, Some(window), 33);
            append_and_check(&mut cache, Some(window), 1);
        }
    }
}

#[test]
fn a_rotating_cache_holds_no_more_than_the_window_and_its_reserve() {
    let mut cache = mlx_models::Cache::new(vec![KvCache::rotating(16).unwrap()]);
    for _ in 0..3000 {
        let layer = &mut cache.layers_mut()[0];
        let (k, v) = (keys(layer.offset(), 1), keys(layer.offset(), 1));
        let _ = layer.append(&k, &v).unwrap();
        mlx_core::eval(&cache.arrays().unwrap()).unwrap();
    }
    // Two buffers of 2 × 2 heads × 3 float32, for a window of 16 and two steps of 256 tokens.
    assert!(cache.nbytes() <= 2 * (2 * 2 * 3 * 4) * (16 + 2 * 256), "{} bytes", cache.nbytes());
}

#[test]
fn trimming_leaves_the_cache_as_if_the_tokens_had_never_come() {
    for window in [None, Some(16), Some(300)] {
        let make = || window.map_or_else(KvCache::full, |window| KvCache::rotating(window).unwrap());
        let mut cache = make();
        for length in [1, 30, 200, 1, 1, 400, 9] {
            append_and_check(&mut cache, window, length);
        }
        let before = cache.offset();
        for back in [1, 9, 100] {
            let offset = cache.offset() - back;
            assert!(cache.can_trim(offset), "window {window:?}, back to {offset} of {before}");
            cache.trim(offset).unwrap();
            let mut fork = cache.clone();
            append_and_check(&mut fork, window, 1);
            append_and_check(&mut fork, window, 20);
            append_and_check(&mut cache, window, 5);
        }
    }
}

#[test]
fn at_least_256_tokens_can_be_taken_back_whenever_that_many_came() {
    let mut cache = KvCache::rotating(10).unwrap();
    for _ in 0..2000 {
        append_and_check(&mut cache, Some(10), 1);
        let back = cache.offset().min(256);
        assert!(cache.can_trim(cache.offset() - back), "at {}", cache.offset());
    }
    let chunk = 600;
    append_and_check(&mut cache, Some(10), chunk);
    assert!(cache.can_trim(cache.offset() - 256));
}

#[test]
fn a_rotating_cache_says_when_it_cannot_be_taken_back_and_stays_as_it_was() {
    let mut cache = KvCache::rotating(10).unwrap();
    for _ in 0..50 {
        append_and_check(&mut cache, Some(10), 40);
    }
    let offset = cache.offset();
    for target in [5, 100, -1, offset + 1] {
        assert!(!cache.can_trim(target));
        let error = cache.trim(target).unwrap_err().to_string();
        assert!(error.contains(&target.to_string()), "{error}");
    }
    append_and_check(&mut cache, Some(10), 3);
}

#[test]
fn a_clone_and_its_original_grow_apart() {
    for mut original in [KvCache::full(), KvCache::rotating(8).unwrap()] {
        let _ = original.append(&keys(0, 20), &keys(0, 20)).unwrap();
        let mut clone = original.clone();
        let marked = (&keys(20, 2) * -1.0).unwrap();
        let (seen, _) = clone.append(&marked, &marked).unwrap();
        mlx_core::eval([&seen]).unwrap();
        let (kept, _) = original.append(&keys(20, 2), &keys(20, 2)).unwrap();
        let count = kept.dim(2).unwrap();
        assert!(same(&kept, &keys(22 - count, count)));
        let last = seen.slice_axis(2, count - 2, count).unwrap();
        assert!(same(&last, &marked));
    }
}

#[test]
fn masks_are_no_larger_than_they_must_be() {
    let mut cache = KvCache::rotating(8).unwrap();
    assert!(matches!(cache.mask(1).unwrap(), CacheMask::None));
    assert!(matches!(cache.mask(8).unwrap(), CacheMask::Causal));
    assert!(matches!(cache.mask(9).unwrap(), CacheMask::Window(_)));
    let _ = cache.append(&keys(0, 6), &keys(0, 6)).unwrap();
    assert!(matches!(cache.mask(2).unwrap(), CacheMask::Causal));
    assert!(matches!(cache.mask(5).unwrap(), CacheMask::Window(8)));
    assert!(matches!(KvCache::full().mask(1).unwrap(), CacheMask::None));
    assert!(matches!(KvCache::full().mask(4000).unwrap(), CacheMask::Causal));
}

#[test]
fn keys_of_another_batch_or_shape_are_refused() {
    for mut cache in [KvCache::full(), KvCache::rotating(8).unwrap()] {
        let _ = cache.append(&keys(0, 3), &keys(0, 3)).unwrap();
        let half = keys(3, 1).slice_axis(0, 0, 1).unwrap();
        let error = cache.append(&half, &half).unwrap_err().to_string();
        assert!(error.contains("[1, 2, 1, 3]"), "{error}");
        assert!(cache.append(&keys(3, 2), &keys(3, 1)).is_err());
        let flat = Array::zeros(&[3], Dtype::Float32).unwrap();
        assert!(cache.append(&flat, &flat).is_err());
        assert_eq!(cache.offset(), 3);
    }
    assert!(KvCache::rotating(0).unwrap_err().to_string().starts_with("sliding_window"));
}
