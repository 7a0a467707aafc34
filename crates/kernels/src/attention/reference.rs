//! The plain reference of `attention`: two passes over the positions, in f64.

use crate::{Dispatch, HostMemory};

pub(super) fn run(_: &Dispatch, _: &HostMemory) {
    todo!("being written")
}
