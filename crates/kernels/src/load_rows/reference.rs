//! The plain reference of `load_rows`.

use super::Params;
use crate::step::{HostStep, NO_SEQUENCE, Row, SequenceParams, SlotHeader, StepLayout};
use crate::{Dispatch, HostMemory};

pub(super) fn run(dispatch: &Dispatch, memory: &HostMemory) {
    let Params { max_rows, slots, context } = dispatch.params();
    let layout = StepLayout { max_rows };
    let mut step = memory.write::<u32>(dispatch.slice("step"));
    let step = HostStep::of(&mut step, max_rows);
    let slot = u64::from(step.header.loads % slots) * layout.slot_bytes();
    let slot = dispatch.slice("mailbox").at(slot, layout.slot_bytes());
    let header = memory.read::<SlotHeader>(slot.at(0, layout.slot_params_offset()))[0];
    let rows = memory.read::<Row>(slot.at(layout.slot_rows_offset(), layout.rows_bytes()));
    let rows = &rows[..header.row_count.min(max_rows) as usize];

    step.rows[..rows.len()].copy_from_slice(rows);
    let wanted = rows.iter().zip(0..).filter(|(row, _)| row.wants_logits != 0).map(|(_, index)| index);
    let logit_count = step.logit_rows.iter_mut().zip(wanted).map(|(slot, index)| *slot = index).count();
    step.header.row_count = rows.len() as u32;
    step.header.logit_count = logit_count as u32;
    if header.sets_ring_head != 0 {
        step.header.ring_head = header.ring_head;
    }
    step.header.loads = step.header.loads.wrapping_add(1);

    let mut history = memory.write::<u32>(dispatch.slice("history"));
    for row in rows.iter().filter(|row| row.position < context) {
        history[(row.sequence * context + row.position) as usize] = row.token;
    }
    if header.params_sequence != NO_SEQUENCE {
        let params = slot.at(layout.slot_params_offset(), size_of::<SequenceParams>() as u64);
        let mut sequences = memory.write::<SequenceParams>(dispatch.slice("sequences"));
        sequences[header.params_sequence as usize] = memory.read::<SequenceParams>(params)[0];
    }
}
