//! `group_experts`: puts the slots of each expert together, so that a matrix product reads an expert's weights once for all
//! of them. A slot is one choice of a row: row · slots + choice.
//!
//! The result is a list of tiles, {expert, first, count, 0} each, behind it the slots in the order that `first` and `count`
//! speak of. A tile has at most as many slots as a tile of `matmul` has rows; unused tiles have none. Within an expert the
//! order is whatever it turns out to be: a slot's products do not depend on its neighbours.

mod reference;
#[cfg(test)]
mod tests;

use crate::matmul::TILE;
use crate::{Cost, Dispatch, Grid, Kernel, LOCAL_SIZE, Slice};
use bytemuck::{Pod, Zeroable};

static KERNEL: Kernel = Kernel {
    name: "group_experts",
    spirv: include_bytes!("group_experts.spv"),
    host: reference::run,
    reference: reference::run,
};

/// What is grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupExperts {
    /// Experts there are.
    pub experts: u32,
    /// Experts that a row chooses.
    pub slots: u32,
}

crate::bindings! {
    /// Buffers, in push-constant order.
    pub struct Bindings {
        /// u32: how many rows hold a token.
        row_count: Read,
        /// u32 (rows, slots): what `choose_experts` chose.
        experts: Read,
        /// Tiles and order, of [`GroupExperts::group_bytes`].
        groups: Write,
    }
}

/// Push constants after the addresses.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Params {
    tiles: u32,
}

/// The most tiles that `slots` slots of `experts` experts need.
fn max_tiles(experts: u32, slots: u32) -> u32 {
    experts.min(slots) + slots / TILE
}

/// The number of tiles in a `groups` for `slots` slots.
pub(crate) fn tiles_in(groups: Slice, slots: u32) -> u32 {
    (groups.bytes / 4 - u64::from(slots)) as u32 / 4
}

impl GroupExperts {
    /// Bytes of tiles and order for up to `rows` rows.
    pub fn group_bytes(&self, rows: u32) -> u64 {
        let slots = rows * self.slots;
        u64::from(4 * max_tiles(self.experts, slots) + slots) * 4
    }
}

/// Groups the slots of up to `rows` rows.
pub fn dispatch(group: &GroupExperts, rows: u32, bindings: Bindings) -> Dispatch {
    let GroupExperts { experts, slots } = *group;
    assert_eq!(bindings.groups.bytes, group.group_bytes(rows), "groups of another size");
    let params = Params { tiles: max_tiles(experts, rows * slots) };
    Dispatch {
        kernel: &KERNEL,
        specialization: vec![LOCAL_SIZE, experts, slots],
        bindings: bindings.list(),
        params: bytemuck::bytes_of(&params).to_vec(),
        grid: Grid::Groups([1, 1, 1]),
        cost: Cost {
            activation_bytes: u64::from(rows * slots) * 8 + u64::from(params.tiles) * 16,
            operations: u64::from(rows * slots) * 2,
            ..Cost::default()
        },
    }
}

/// Expert and slot of every slot in `groups`, for a matmul over this grid.
pub(crate) fn slots_by_expert(groups: &[u32], grid: Grid) -> Vec<(u32, usize)> {
    let Grid::Groups([_, tiles, _]) = grid else { panic!("matmul counts its groups") };
    let (tiles, order) = groups.split_at(4 * tiles as usize);
    let slots = tiles.chunks_exact(4).flat_map(|tile| {
        let slots = &order[tile[1] as usize..][..tile[2] as usize];
        slots.iter().map(|slot| (tile[0], *slot as usize))
    });
    slots.collect()
}

/// The groups of the slots in use, which chose these experts, with room for `slots` slots.
pub(crate) fn grouped(chosen: &[u32], experts: u32, slots: u32) -> Vec<u32> {
    let tile_words = 4 * max_tiles(experts, slots) as usize;
    let mut words = Vec::new();
    let mut order: Vec<u32> = Vec::new();
    for expert in 0..experts {
        let first = order.len();
        order.extend((0..).zip(chosen).filter(|(_, chosen)| **chosen == expert).map(|(slot, _)| slot));
        for begin in (first..order.len()).step_by(TILE as usize) {
            words.extend([expert, begin as u32, TILE.min((order.len() - begin) as u32), 0]);
        }
    }
    words.resize(tile_words, 0);
    words.extend(order);
    words.resize(tile_words + slots as usize, 0);
    words
}
