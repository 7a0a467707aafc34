//! Timestamps inside a recording, for profiles. They drain the queue on some drivers: never in a timed run.

use crate::error::Error;
use crate::logical::{Logical, Ticket};
use ash::vk;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A fixed number of timestamp slots. It belongs to one recording, which resets all of them at its begin.
#[derive(Clone)]
pub struct TimestampPool(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) logical: Arc<Logical>,
    pub(crate) raw: vk::QueryPool,
    name: String,
    count: u32,
    /// The last submission of the recording that writes the pool; 0 is none.
    pub(crate) last: AtomicU64,
}

impl TimestampPool {
    pub(crate) fn new(logical: Arc<Logical>, name: &str, count: u32) -> Result<Self, Error> {
        assert!(count > 0, "timestamps {name}: zero slots asked for");
        if logical.info.limits.timestamp_valid_bits == 0 {
            let reason = "the compute queue of this device has none; profile on another device".to_owned();
            return Err(Error::Timestamps { name: name.to_owned(), reason });
        }
        let info = vk::QueryPoolCreateInfo::default().query_type(vk::QueryType::TIMESTAMP).query_count(count);
        // SAFETY: the device lives and its queue has timestamps.
        let raw = unsafe { logical.raw.create_query_pool(&info, None) }
            .map_err(|result| logical.fail(format!("creating timestamps {name}"), result))?;
        logical.name(raw, name);
        Ok(Self(Arc::new(Inner { logical, raw, name: name.to_owned(), count, last: AtomicU64::new(0) })))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its slots.
    pub fn count(&self) -> u32 {
        self.0.count
    }

    /// Nanoseconds from slot 0 to each slot. Every slot must have been written, slot 0 first, by a finished submission.
    pub(crate) fn read(&self) -> Result<Vec<u64>, Error> {
        Ok(self.since_first(&self.ticks()?))
    }

    /// Nanoseconds from slot 0 of this pool to slot 0 of a later one.
    pub(crate) fn until(&self, later: &TimestampPool) -> Result<u64, Error> {
        let (first, last) = (self.ticks()?[0], later.ticks()?[0]);
        Ok(self.since_first(&[first, last])[1])
    }

    fn ticks(&self) -> Result<Vec<u64>, Error> {
        let pool = &*self.0;
        let refuse = |reason: &str| Error::Timestamps { name: pool.name.clone(), reason: reason.to_owned() };
        let last = Ticket(pool.last.load(Ordering::Acquire));
        if last == Ticket(0) {
            return Err(refuse("no submission has written them; submit the recording they belong to"));
        }
        if !pool.logical.reached(last)? {
            return Err(refuse("the submission that writes them is not done; wait for its ticket"));
        }
        let mut ticks = vec![0u64; pool.count as usize];
        // SAFETY: the pool lives, the slots exist, and the finished submission began by resetting all of them.
        unsafe {
            pool.logical.raw.get_query_pool_results(pool.raw, 0, &mut ticks, vk::QueryResultFlags::TYPE_64)
        }
        .map_err(|result| match result {
            vk::Result::NOT_READY => refuse("some slot was not written; size the pool to the recording"),
            result => pool.logical.fail(format!("reading timestamps {}", pool.name), result),
        })?;
        pool.logical.ledger.readback("timestamps", 8 * u64::from(pool.count));
        Ok(ticks)
    }

    fn since_first(&self, ticks: &[u64]) -> Vec<u64> {
        let limits = &self.0.logical.info.limits;
        since_first(ticks, limits.timestamp_valid_bits, limits.timestamp_period_ns)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.logical.is_abandoned() {
            return;
        }
        // SAFETY: the recording that writes the pool holds a handle until the GPU is done.
        unsafe { self.logical.raw.destroy_query_pool(self.raw, None) };
    }
}

/// Ticks to nanoseconds since the first; a counter of few bits may have wrapped in between.
fn since_first(ticks: &[u64], valid_bits: u32, period_ns: f32) -> Vec<u64> {
    let mask = u64::MAX >> (64 - valid_bits.clamp(1, 64));
    let first = ticks.first().copied().unwrap_or(0);
    ticks
        .iter()
        .map(|tick| ((tick.wrapping_sub(first) & mask) as f64 * f64::from(period_ns)) as u64)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_become_nanoseconds_across_a_wrap() {
        assert_eq!(since_first(&[100, 150, 300], 64, 2.0), [0, 100, 400]);
        assert_eq!(since_first(&[0xf_ffff_fff0, 0x10], 36, 1.0), [0, 0x20]);
    }
}
