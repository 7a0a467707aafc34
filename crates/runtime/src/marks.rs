//! Timestamps at the two ends of submissions: how long each kept the device busy. Two a submission, so that even a driver whose
//! timestamps drain the queue loses nothing where a submission is thousands of steps.

use crate::Error;
use resident_vulkan::{Device, Recording, Ticket, TimestampPool};

/// Submissions whose times can be asked for: more than anybody has under way.
const REMEMBERED: usize = 8;

struct Pair {
    begin: (Recording, TimestampPool),
    end: (Recording, TimestampPool),
    ticket: Option<Ticket>,
}

/// A ring of pairs of marks, recorded before the seal.
pub(crate) struct Marks {
    pairs: Vec<Pair>,
    next: usize,
}

impl Marks {
    pub(crate) fn new(device: &Device) -> Result<Self, Error> {
        let mark = |name: &str| {
            let pool = device.timestamps(name, 1)?;
            Ok::<_, Error>((device.record_timed(name, &pool, |recorder| recorder.timestamp(0))?, pool))
        };
        let pair = |_| Ok(Pair { begin: mark("begin")?, end: mark("end")?, ticket: None });
        Ok(Self { pairs: (0..REMEMBERED).map(pair).collect::<Result<_, Error>>()?, next: 0 })
    }

    /// Submits recordings between two marks. The oldest submission that is remembered must be done.
    pub(crate) fn submit(&mut self, device: &Device, recordings: &[&Recording]) -> Result<Ticket, Error> {
        let pair = &mut self.pairs[self.next];
        self.next = (self.next + 1) % REMEMBERED;
        let all: Vec<&Recording> =
            [&pair.begin.0].into_iter().chain(recordings.iter().copied()).chain([&pair.end.0]).collect();
        let ticket = device.submit(&all)?;
        pair.ticket = Some(ticket);
        Ok(ticket)
    }

    /// How long a finished submission took on the device; `None` if it is no longer remembered.
    pub(crate) fn nanoseconds(&self, device: &Device, ticket: Ticket) -> Result<Option<u64>, Error> {
        let Some(pair) = self.pairs.iter().find(|pair| pair.ticket == Some(ticket)) else { return Ok(None) };
        Ok(Some(device.nanoseconds_between(&pair.begin.1, &pair.end.1)?))
    }
}
