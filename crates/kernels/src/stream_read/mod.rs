//! `stream_read`: reads a buffer once at full speed. It measures the bandwidth that weights can be read with on this
//! device, the limit that decode is compared with.

#[cfg(test)]
mod tests;

use crate::{Access, Binding, Cost, Dispatch, Grid, HostMemory, Kernel, LOCAL_SIZE, Slice};

static KERNEL: Kernel =
    Kernel { name: "stream_read", spirv: include_bytes!("stream_read.spv"), host: reference, reference };

/// Adds the sum of all words of `source` (a multiple of 64 bytes) to `checksum`, spread over one word for each of
/// `groups` workgroups.
pub fn dispatch(source: Slice, checksum: Slice, groups: u32) -> Dispatch {
    let words4 = u32::try_from(source.bytes / 16).expect("at most 64 GiB are read at once");
    assert!(words4.is_multiple_of(4) && checksum.bytes >= u64::from(groups) * 4, "sizes of stream_read");
    Dispatch {
        kernel: &KERNEL,
        specialization: vec![LOCAL_SIZE],
        bindings: vec![
            Binding { name: "source", slice: Some(source), access: Access::Read },
            Binding { name: "checksum", slice: Some(checksum), access: Access::ReadWrite },
        ],
        params: words4.to_le_bytes().to_vec(),
        grid: Grid::Groups([groups, 1, 1]),
        cost: Cost { weight_bytes: source.bytes, activation_bytes: 0, operations: 0 },
    }
}

fn reference(dispatch: &Dispatch, memory: &HostMemory) {
    let source = memory.read::<u32>(dispatch.slice("source"));
    let sum = source.iter().fold(0u32, |sum, word| sum.wrapping_add(*word));
    let mut checksum = memory.write::<u32>(dispatch.slice("checksum"));
    checksum[0] = checksum[0].wrapping_add(sum);
}
