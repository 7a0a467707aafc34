//! Allocation: blocks, alignment, limits, mapped rings.

use crate::fixture::{groups, push_one, to_bytes, with_device, with_options};
use resident_vulkan::{ArenaUse, Error, Memory, Options, planned_bytes};

#[test]
fn buffers_share_a_block_and_are_aligned() {
    with_device(|f| {
        let buffers: Vec<_> = [1, 3, 255, 256, 257, 4096, 1_000_001]
            .iter()
            .map(|&bytes| f.device.allocate("b", bytes, Memory::Device).expect("a buffer"))
            .collect();
        let mut ranges: Vec<_> = buffers.iter().map(|b| (b.address(), b.address() + b.bytes())).collect();
        ranges.sort();
        assert!(ranges.iter().all(|(start, _)| start % 256 == 0));
        assert!(ranges.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{ranges:?}");
        assert_eq!(f.before_seal().allocations, 1);
        assert_eq!(f.device.memory_use(Memory::Device).blocks, 1);
    });
}

#[test]
fn what_is_planned_is_what_allocating_takes() {
    let sizes = [3 << 20, 60 << 20, 5 << 20, 100 << 20, 1, 7 << 20, 20 << 20, 20 << 20, 90 << 20, 333_333];
    with_device(|f| {
        let buffers = sizes.map(|bytes| f.device.allocate("b", bytes, Memory::Device).expect("a buffer"));
        let planned = planned_bytes(&f.device.info().limits, sizes, u64::MAX);
        assert_eq!(f.device.memory_use(Memory::Device).block_bytes, planned);
        drop(buffers);
    });
    // Where there is no room for blocks to share, each is as large as its buffer.
    let options = Options { device_memory_limit_bytes: Some(320 << 20), ..Options::default() };
    with_options(options, |f| {
        let buffers = sizes.map(|bytes| f.device.allocate("b", bytes, Memory::Device).expect("a buffer"));
        let planned = planned_bytes(&f.device.info().limits, sizes, 320 << 20);
        assert_eq!(f.device.memory_use(Memory::Device).block_bytes, planned);
        drop(buffers);
    });
}

#[test]
fn a_buffer_larger_than_a_block_gets_its_own() {
    with_device(|f| {
        let small = f.device.allocate("small", 100, Memory::Device).expect("a buffer");
        let large = f.device.allocate("large", 100 << 20, Memory::Device).expect("a buffer");
        assert_eq!(f.before_seal().allocations, 2);
        assert_eq!((small.bytes(), large.bytes()), (100, 100 << 20));
        let allocated = f.before_seal().allocated_bytes;
        assert!((164 << 20..=166 << 20).contains(&allocated), "{allocated}");
    });
}

#[test]
fn memory_given_back_is_used_again_and_an_empty_block_is_freed() {
    with_device(|f| {
        let keep = f.device.allocate("keep", 4096, Memory::Device).expect("a buffer");
        let first = f.device.allocate("first", 4096, Memory::Device).expect("a buffer");
        let address = first.address();
        let clone = first.clone();
        drop(first);
        let second = f.device.allocate("second", 4096, Memory::Device).expect("a buffer");
        assert_ne!(second.address(), address, "a clone still holds it");
        drop(clone);
        let third = f.device.allocate("third", 4096, Memory::Device).expect("a buffer");
        assert_eq!(third.address(), address);
        assert_eq!(f.device.memory_use(Memory::Device).buffer_bytes, 3 * 4096);
        drop((keep, second, third));
        assert_eq!(f.device.memory_use(Memory::Device), ArenaUse::default());
        assert_eq!(f.before_seal().allocations, 1);
    });
}

#[test]
fn a_request_above_the_limit_names_it() {
    with_device(|f| {
        let limits = &f.device.info().limits;
        let largest =
            limits.max_memory_allocation_bytes.min(limits.max_buffer_bytes).min((4 << 30) - (2 << 20));
        for bytes in [largest + 1, 1 << 50, u64::MAX] {
            let error = f.device.allocate("w", bytes, Memory::Device).expect_err("allocated");
            let Error::AllocationTooLarge { limit_bytes, limit_name, .. } = &error else { panic!("{error}") };
            assert_eq!(*limit_bytes, largest);
            assert!(error.to_string().contains("buffer w") && error.to_string().contains(limit_name));
        }
        assert_eq!(f.before_seal().allocations, 0);
    });
}

#[test]
fn more_than_there_is_is_an_error_that_says_how_much_there_is() {
    let options = Options { device_memory_limit_bytes: Some(100 << 20), ..Options::default() };
    with_options(options, |f| {
        let allocate = |name, bytes| f.device.allocate(name, bytes, Memory::Device);
        let small = allocate("small", 1 << 20).expect("a shared block of 64 MiB");
        // A second shared block does not fit, one of just the size does.
        let large = allocate("large", 65 << 20).expect_err("allocated");
        let fits = allocate("fits", 30 << 20).expect("from the shared block");
        let just = allocate("just", 35 << 20).expect("a block of its own");
        let used = f.device.memory_use(Memory::Device);
        assert_eq!((used.blocks, used.buffer_bytes), (2, 66 << 20));
        assert!(used.block_bytes <= 100 << 20);
        let Error::OutOfMemory { requested_bytes, in_use_bytes, budget_bytes, .. } = &large else {
            panic!("{large}")
        };
        assert_eq!((*requested_bytes, *in_use_bytes, *budget_bytes), (65 << 20, 64 << 20, Some(36 << 20)));
        assert!(
            large.to_string().contains("buffer large: out of device memory: 65 MiB requested"),
            "{large}"
        );
        // What was given back can be had again.
        drop((small, fits, just));
        allocate("large", 65 << 20).expect("a block of its own");
    });
}

#[test]
fn a_mapped_ring_carries_words_both_ways() {
    with_device(|f| {
        let ring = f.device.allocate("ring", 4 * 100, Memory::Mapped).expect("a ring");
        assert_eq!(ring.read_u32(99), 0, "a ring begins empty");
        let values: Vec<u32> = (0..100).map(|i| i * 3).collect();
        ring.write(0, &to_bytes(&values), "mailbox");
        ring.write_u32(7, 1000, "mailbox");
        let add = f.add(5);
        let step = f.device.record("step", |r| {
            r.keep(&ring);
            r.dispatch(&add, &push_one(&ring, 100), groups(100));
            r.host_barrier();
        });
        let ticket = f.device.submit(&[&step.expect("a recording")]).expect("a submit");
        f.device.wait(ticket).expect("a wait");
        assert_eq!((ring.read_u32(0), ring.read_u32(7), ring.read_u32(99)), (5, 1005, 302));
        let mut bytes = [0; 9];
        ring.read(3, &mut bytes, "tokens");
        assert_eq!(bytes, [0, 8, 0, 0, 0, 11, 0, 0, 0]);

        let counters = f.before_seal();
        assert_eq!(counters.upload_bytes["mailbox"], 404);
        assert_eq!(counters.readback_bytes["tokens"], 9);
    });
}

#[test]
fn an_upload_mailbox_is_written_and_never_read() {
    with_device(|f| {
        let mailbox = f.device.allocate("mailbox", 256, Memory::MappedUpload).expect("a mailbox");
        mailbox.write_u32(3, 77, "mailbox");
        let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| mailbox.read_u32(3)));
        assert!(read.is_err());
        assert_eq!(f.read_words(&mailbox)[3], 77, "the device reads it");
    });
}

#[test]
fn a_range_outside_the_buffer_panics_with_its_name() {
    with_device(|f| {
        let ring = f.device.allocate("ring", 100, Memory::Mapped).expect("a ring");
        let device = f.device.allocate("x", 100, Memory::Device).expect("a buffer");
        let message = |call: &dyn Fn()| {
            let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).expect_err("no panic");
            panic.downcast_ref::<String>().cloned().unwrap_or_default()
        };
        assert!(message(&|| ring.write(97, &[0; 4], "x")).contains("buffer ring: 4 bytes at 97"));
        assert!(message(&|| ring.write(u64::MAX, &[0; 4], "x")).contains("buffer ring"));
        assert!(message(&|| _ = ring.read_u32(25)).contains("buffer ring"));
        assert!(message(&|| device.write(0, &[0; 4], "x")).contains("upload instead"));
        assert!(message(&|| _ = f.device.upload(&device, 1, &[0; 100], "x")).contains("buffer x"));
    });
}
