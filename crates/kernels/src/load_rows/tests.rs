use super::*;
use crate::Slice;
use crate::step::{Header, NO_SEQUENCE, Row, SequenceParams, SlotHeader, StepLayout};
use crate::testing::Case;

const SLOTS: u32 = 4;
const SEQUENCES: u32 = 3;
const CONTEXT: u32 = 700;

/// A mailbox whose slot number `loads % SLOTS` holds `rows` rows of which every `wanted`-th wants logits.
/// The slot sets the ring's head where it carries parameters.
fn check(max_rows: u32, rows: u32, wanted: u32, params_sequence: u32, loads: u32) {
    let mut case = Case::new();
    let layout = StepLayout { max_rows };
    let mut mailbox = case.random_bytes((u64::from(SLOTS) * layout.slot_bytes()) as usize);
    let slot = &mut mailbox[(u64::from(loads % SLOTS) * layout.slot_bytes()) as usize..];
    let header = SlotHeader {
        row_count: rows,
        params_sequence,
        sets_ring_head: u32::from(params_sequence != NO_SEQUENCE),
        ring_head: 4095,
    };
    slot[..16].copy_from_slice(bytemuck::bytes_of(&header));
    let row = |i: u32| Row {
        token: 1000 + i,
        position: i / 2 + 7,
        sequence: i % 2,
        wants_logits: u32::from(i % wanted == wanted - 1),
    };
    let all: Vec<Row> = (0..max_rows).map(row).collect();
    slot[layout.slot_rows_offset() as usize..][..16 * max_rows as usize]
        .copy_from_slice(bytemuck::cast_slice(&all));

    let mut step = vec![0xffff_deadu32; layout.step_bytes() as usize / 4];
    let header = Header { row_count: 77, logit_count: 78, ring_head: 79, loads };
    step[..4].copy_from_slice(bytemuck::cast_slice(&[header]));
    let step = case.values(&step);
    let bindings = Bindings {
        step,
        mailbox: case.values(&mailbox),
        sequences: case.output(SEQUENCES as usize * size_of::<SequenceParams>()),
        history: case.output((SEQUENCES * CONTEXT) as usize * 4),
    };
    let call = dispatch(Params { max_rows, slots: SLOTS, context: CONTEXT }, bindings);
    case.check_bits(&call);

    // The reference itself, against the definition.
    let words = case.reference_words(&call, step);
    let ring_head = if params_sequence == NO_SEQUENCE { 79 } else { 4095 };
    assert_eq!(words[..4], [rows, rows / wanted, ring_head, loads.wrapping_add(1)]);
    let logit_rows: Vec<u32> = (0..rows).filter(|i| i % wanted == wanted - 1).collect();
    let part = |slice: Slice| &words[slice.offset_bytes as usize / 4..][..slice.bytes as usize / 4];
    assert_eq!(part(layout.logit_rows(step))[..logit_rows.len()], logit_rows);
    assert!(part(layout.logit_rows(step))[logit_rows.len()..].iter().all(|w| *w == 0xffff_dead));
    assert_eq!(
        part(layout.rows(step))[..4 * rows as usize],
        bytemuck::cast_slice::<_, u32>(&all)[..4 * rows as usize]
    );
    let history = case.reference_words(&call, bindings.history);
    for row in &all[..rows as usize] {
        assert_eq!(history[(row.sequence * CONTEXT + row.position) as usize], row.token);
    }
    assert_eq!(history.iter().filter(|w| **w != 0xffff_dead).count(), rows as usize);
}

#[test]
fn one_row_with_parameters() {
    check(1, 1, 1, 2, 0);
}

#[test]
fn some_rows_of_many_and_no_parameters() {
    check(64, 13, 3, NO_SEQUENCE, 6);
}

#[test]
fn more_rows_than_invocations() {
    check(1100, 1031, 2, 1, u32::MAX);
}

#[test]
fn no_rows() {
    check(8, 0, 1, 0, 3);
}
