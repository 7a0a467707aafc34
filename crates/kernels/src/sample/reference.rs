//! The plain reference of `sample`: sorts, in f64.

use crate::{Dispatch, HostMemory};

pub(super) fn run(_: &Dispatch, _: &HostMemory) {
    todo!("being written")
}
