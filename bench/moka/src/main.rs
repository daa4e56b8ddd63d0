//! Replays one trace against moka and prints what it took, as a line of JSON: the peer of
//! src/cache/memory_cache_bench.cpp, which writes the trace and says what the figures mean.
//!
//! usage: moka-bench TRACE KEYS CAPACITY_BYTES VALUE_BYTES ENTRY_BYTES
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::sync::Cache;

const KEY_BYTES: usize = 32;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |i: usize| arguments[i].parse::<u64>().expect("a number");
    let bytes = std::fs::read(&arguments[1]).expect("the trace");
    let trace: Vec<u32> =
        bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let keys: Vec<[u8; KEY_BYTES]> = (0..number(2))
        .map(|i| {
            let mut key = [0u8; KEY_BYTES];
            key.copy_from_slice(format!("key-{:016x}-to-be-found", i).as_bytes());
            key
        })
        .collect();
    let value: Vec<u8> = vec![b'x'; number(4) as usize];
    let entry_bytes = number(5) as u32;

    let cache: Cache<Box<[u8]>, Arc<[u8]>, ahash::RandomState> = Cache::builder()
        .max_capacity(number(3))
        .weigher(move |_: &Box<[u8]>, _: &Arc<[u8]>| entry_bytes)
        .time_to_live(Duration::from_secs(300))
        .build_with_hasher(ahash::RandomState::new());

    let mut hits = 0u64;
    let start = Instant::now();
    for &i in &trace {
        let key = &keys[i as usize][..];
        match cache.get(key) {
            Some(found) => {
                if found.len() != value.len() {
                    panic!("a wrong value");
                }
                hits += 1;
            }
            None => cache.insert(key.into(), Arc::from(&value[..])),
        }
    }
    let replay = start.elapsed().as_secs_f64();
    cache.run_pending_tasks();

    // Gets alone: of what is held now, in the trace's order.
    let resident: Vec<u32> =
        trace.iter().copied().filter(|&i| cache.contains_key(&keys[i as usize][..])).collect();
    let start = Instant::now();
    let mut found = 0u64;
    for &i in &resident {
        found += cache.get(&keys[i as usize][..]).map_or(0, |v| (v.len() == value.len()) as u64);
    }
    let gets = start.elapsed().as_secs_f64();
    println!(
        "{{\"hit_ratio\": {:.5}, \"replay_per_second\": {:.0}, \"gets_per_second\": {:.0}, \"found\": {:.5}}}",
        hits as f64 / trace.len() as f64,
        trace.len() as f64 / replay,
        resident.len() as f64 / gets,
        found as f64 / resident.len().max(1) as f64
    );
}
