//! The plain reference of `group_experts`: the slots of an expert in ascending order.

use super::{Params, grouped};
use crate::{Dispatch, HostMemory};

pub(super) fn run(dispatch: &Dispatch, memory: &HostMemory) {
    let Params { tiles } = dispatch.params();
    let [_, experts, slots] = [0, 1, 2].map(|i| dispatch.specialization[i]);
    let in_use = (memory.read::<u32>(dispatch.slice("row_count"))[0] * slots) as usize;
    let chosen = memory.read::<u32>(dispatch.slice("experts"));
    let mut groups = memory.write::<u32>(dispatch.slice("groups"));
    let words = grouped(&chosen[..in_use], experts, chosen.len() as u32);
    let written = 4 * tiles as usize + in_use;
    groups[..written].copy_from_slice(&words[..written]);
}
