//! Activations that carry their own readiness, so that a consumer needs no barrier behind its producer.
//!
//! A word of a hand-over is [`NOT_READY`] until its producer writes it, which happens once between two clearings; a
//! consumer polls exactly the words that it needs. `glsl/handover.glsl` has the device's side. The order in which calls
//! stand in a plan still holds: a call polls only for calls before it.

use crate::Access;

/// What a word of a hand-over holds until it is written: a NaN that no arithmetic makes. A producer that comes to it
/// nevertheless (a NaN of that payload in a file) writes another NaN.
pub const NOT_READY: u32 = 0xffff_ffff;

/// How a call's activations pass from call to call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handover {
    /// What it reads was published: it polls.
    pub polls: bool,
    /// What it writes will be polled.
    pub publishes: bool,
}

impl Handover {
    pub(crate) fn reading(self) -> Access {
        if self.polls { Access::Poll } else { Access::Read }
    }

    pub(crate) fn writing(self) -> Access {
        if self.publishes { Access::Publish } else { Access::Write }
    }

    /// The specialization constants `POLLS` and `PUBLISHES`.
    pub(crate) fn specialization(self) -> [u32; 2] {
        [self.polls.into(), self.publishes.into()]
    }
}
