use super::*;
use crate::testing::Case;

/// Compares tiles word by word and the slots of each expert as a set.
fn check(experts: u32, slots: u32, rows: u32, active: u32) {
    let mut case = Case::new();
    let group = GroupExperts { experts, slots };
    // Unevenly: many slots of the first experts, none of some.
    let random = case.random_bytes((rows * slots) as usize);
    let chosen: Vec<u32> = random.iter().map(|byte| u32::from(*byte).pow(2) * experts / 65536).collect();
    let bindings = Bindings {
        row_count: case.words(&[active]),
        experts: case.words(&chosen),
        groups: case.output(group.group_bytes(rows) as usize),
    };
    let call = dispatch(&group, rows, bindings);
    let tile_words = 4 * tiles_in(bindings.groups, rows * slots) as usize;
    let sorted = |words: Vec<u32>| {
        let (tiles, order) = words.split_at(tile_words);
        let mut order = order.to_vec();
        let in_use = (active * slots) as usize;
        order[..in_use].sort_by_key(|slot| (chosen.get(*slot as usize).copied(), *slot));
        (tiles.to_vec(), order)
    };
    let expected = sorted(case.reference_words(&call, bindings.groups));
    let covered: u32 = expected.0.chunks_exact(4).map(|tile| tile[2]).sum();
    assert_eq!(covered, active * slots);
    if let Some(words) = case.device_words(&call, bindings.groups) {
        assert_eq!(sorted(words), expected);
    }
}

#[test]
fn one_row() {
    check(8, 2, 1, 1);
}

#[test]
fn several_tiles_of_an_expert_and_rows_out_of_use() {
    check(8, 2, 200, 170);
}

#[test]
fn more_experts_than_slots_and_than_the_workgroup() {
    check(300, 3, 20, 20);
}
