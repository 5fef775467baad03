//! Random bytes that look like something: examples, changed a little at random; and what the process
//! says of itself meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use fastrand::Rng;

/// How many inputs a fuzz test makes, unless `SESSION_FUZZ_INPUTS` says otherwise.
pub fn inputs(usual: usize) -> usize {
    number("SESSION_FUZZ_INPUTS").map_or(usual, |inputs| inputs as usize)
}

/// Numbers that the printed seed determines; `SESSION_FUZZ_SEED` sets it.
pub fn random() -> Rng {
    let seed = number("SESSION_FUZZ_SEED").unwrap_or(1);
    println!("SESSION_FUZZ_SEED={seed}");
    Rng::with_seed(seed)
}

/// A number from the environment.
pub fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// One of the examples after a few random changes.
pub fn mutated(random: &mut Rng, examples: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = any(random, examples).clone();
    for _ in 0..random.usize(0..=4) {
        mutate(random, &mut bytes, examples);
    }
    bytes
}

fn mutate(random: &mut Rng, bytes: &mut Vec<u8>, examples: &[Vec<u8>]) {
    let place = random.usize(0..=bytes.len());
    let range = place..random.usize(place..=bytes.len());
    match random.u8(0..8) {
        0 => bytes.insert(place, random.u8(..)),
        1 => drop(bytes.drain(range)),
        2 => bytes.extend_from_within(range),
        3 => {
            let other = any(random, examples);
            let cut = random.usize(0..=other.len());
            bytes.splice(range, other[cut..].iter().copied());
        }
        4 => bytes.truncate(place),
        5 => {
            let run = vec![random.u8(..); random.usize(0..200)];
            bytes.splice(range, run);
        }
        _ => {
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= 1 << random.u8(0..8);
            }
        }
    }
}

fn any<'a>(random: &mut Rng, examples: &'a [Vec<u8>]) -> &'a Vec<u8> {
    &examples[random.usize(0..examples.len())]
}

/// Counts the panics on all threads from now on.
pub fn count_panics() -> &'static AtomicUsize {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    static COUNTING: Once = Once::new();
    COUNTING.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.fetch_add(1, Ordering::SeqCst);
            usual(panic);
        }));
    });
    &PANICS
}

/// How much more memory this process takes while a test watches it. Others that watch it wait, so
/// that each answers for its own memory only.
pub struct Memory {
    before: Option<u64>,
    _alone: MutexGuard<'static, ()>,
}

impl Memory {
    /// Watches from now on.
    pub fn watch() -> Self {
        static WATCHED: Mutex<()> = Mutex::new(());
        let alone = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
        // Linux forgets the peak so far, behind which a smaller one would hide.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        Self {
            before: peak_memory(),
            _alone: alone,
        }
    }

    /// Fails if it became more than 64 MiB.
    ///
    /// # Panics
    ///
    /// Then.
    pub fn expect_bounded(self) {
        if let (Some(before), Some(after)) = (self.before, peak_memory()) {
            println!("{before} KiB became {after} KiB");
            assert!(
                after.saturating_sub(before) < 64 * 1024,
                "{before} KiB became {after} KiB"
            );
        }
    }
}

/// The most memory that this process had lately, in KiB; nothing where the system does not say.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
