//! How busy the program's own threads are: the processor time that the kernel accounts to each, read from
//! /proc/self/task (proc(5)). A thread's name says what it does.
//!
//! Must not know: what the threads do.

use std::collections::HashMap;
use std::fs;

use crate::base::Instant;

/// The threads of the engine and of the media workers are named so, and a number.
const ENGINE: &str = "sip-";
const WORKER: &str = "relay-";
/// More threads are not looked at.
const THREADS_MAX: usize = 1_024;

/// The shares of the time that threads ran, each 0–1 of one core.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Load {
    /// The busiest engine; `None`: not known.
    pub engine: Option<f32>,
    /// Each media worker, by its number.
    pub workers: Vec<f32>,
}

impl Load {
    /// The busiest media worker.
    pub fn busiest_worker(&self) -> Option<f32> {
        self.workers.iter().copied().reduce(f32::max)
    }
}

/// Measures from one look to the next.
#[derive(Default, Debug)]
pub struct LoadMeter {
    at: Option<Instant>,
    /// By thread id: its name, and how long it has run, in nanoseconds.
    threads: HashMap<u32, (String, u64)>,
}

impl LoadMeter {
    /// What the threads did since the last look. Those that are new have no share yet.
    pub fn measure(&mut self, now: Instant) -> Load {
        let threads = look();
        let elapsed = self.at.map_or(0.0, |at| now.since(at).as_secs_f64() * 1e9);
        let mut load = Load::default();
        let mut workers: Vec<(u32, f32)> = Vec::new();
        for (thread, (name, ran)) in &threads {
            let Some((_, before)) = self.threads.get(thread).filter(|_| elapsed > 0.0) else { continue };
            let share = (ran.saturating_sub(*before) as f64 / elapsed).min(1.0) as f32;
            if name.starts_with(ENGINE) {
                load.engine = Some(load.engine.unwrap_or_default().max(share));
            } else if let Some(number) = name.strip_prefix(WORKER).and_then(|number| number.parse().ok()) {
                workers.push((number, share));
            }
        }
        workers.sort_unstable_by_key(|(number, _)| *number);
        load.workers = workers.into_iter().map(|(_, share)| share).collect();
        (self.at, self.threads) = (Some(now), threads);
        load
    }
}

fn look() -> HashMap<u32, (String, u64)> {
    let Ok(entries) = fs::read_dir("/proc/self/task") else { return HashMap::new() };
    let thread = |entry: fs::DirEntry| {
        let number: u32 = entry.file_name().to_str()?.parse().ok()?;
        let name = fs::read_to_string(entry.path().join("comm")).ok()?;
        let name = name.trim_end();
        if !name.starts_with(ENGINE) && !name.starts_with(WORKER) {
            return None;
        }
        // "time on the CPU, time waiting for it, times that it ran", in nanoseconds.
        let ran = fs::read_to_string(entry.path().join("schedstat")).ok()?;
        Some((number, (name.to_owned(), ran.split(' ').next()?.parse().ok()?)))
    };
    entries.flatten().take(THREADS_MAX).filter_map(thread).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;
    use crate::runtime::Clock;

    #[test]
    fn a_worker_that_waits_is_idle_and_one_that_runs_is_not() {
        let clock = Clock::start();
        let (stop, stopped) = channel::<()>();
        let idle =
            std::thread::Builder::new().name("relay-970".into()).spawn(move || stopped.recv().is_err());
        let busy = std::thread::Builder::new().name("relay-971".into()).spawn({
            move || {
                let mut meter = LoadMeter::default();
                meter.measure(clock.now());
                let begin = clock.now();
                let mut sum = 0_u64;
                while clock.now().since(begin) < Duration::from_millis(50) {
                    sum = sum.wrapping_mul(31).wrapping_add(1);
                }
                std::hint::black_box(sum);
                let load = meter.measure(clock.now());
                // Of both threads: the other tests' relays have their own numbers.
                let shares = |number: &str| {
                    let thread = meter.threads.values().find(|(name, _)| name == number);
                    thread.map(|(_, ran)| *ran).unwrap_or_default()
                };
                (load.busiest_worker(), shares("relay-970"), shares("relay-971"))
            }
        });
        let (busiest, idle_ran, busy_ran) = busy.unwrap().join().unwrap();
        assert!(busiest.is_some_and(|share| share > 0.0 && share <= 1.0), "{busiest:?}");
        assert!(busy_ran > idle_ran, "{busy_ran} {idle_ran}");
        drop(stop);
        assert!(idle.unwrap().join().unwrap());
    }
}
