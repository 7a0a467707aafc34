//! `attention` on the CPU: parallel over rows and KV heads.

use crate::{Dispatch, HostMemory};

pub(super) fn run(_: &Dispatch, _: &HostMemory) {
    todo!("being written")
}
